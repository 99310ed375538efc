//! Istio's resources as they are written, and its mesh-wide configuration.

mod authorization_policy;
mod destination_rule;
mod gateway;
mod mesh_config;
mod peer_authentication;
mod provider;
mod proxy_config;
mod request_authentication;
mod service_entry;
mod sidecar;
mod telemetry;
mod virtual_service;

pub use authorization_policy::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, ExtensionProvider,
    From, Operation, Source, To,
};
pub use destination_rule::{
    ClientTlsMode, ClientTlsSettings, ConnectionPool, ConsistentHash, CookieAttribute,
    DestinationRule, Distribute, Failover, H2UpgradePolicy, Http2KeepAlive, HttpCookie, HttpPool,
    LoadBalancer, LocalityLbSetting, Maglev, OutlierDetection, PortPolicy, ProxyProtocol,
    ProxyProtocolVersion, RetryBudget, RingHash, SimpleBalancing, Subset, TcpKeepalive, TcpPool,
    TrafficPolicy, Tunnel, Warmup, ZoneAwareLbSetting,
};
pub use gateway::{Gateway, GatewayPort, Server, ServerTlsMode, ServerTlsSettings, TlsProtocol};
pub use mesh_config::{
    AccessLogEncoding, DefaultTrafficPolicy, MeshConfig, MeshH2Upgrade, MeshTls, MeshTlsVersion,
    NormalizationType, PathNormalization,
};
pub use peer_authentication::{MutualTls, MutualTlsMode, PeerAuthentication};
pub use provider::{
    DefaultProviders, ExtAuthzGrpcProvider, ExtAuthzHttpProvider, ExtAuthzRequestBody,
    FileAccessLogProvider, LogFormat, PrometheusProvider, ProviderDefinition, TracingProvider,
};
pub use proxy_config::{
    ConnectionProfile, ConnectionSettings, ForwardClientCertDetails, GatewayTopology, HeaderSwitch,
    ProxyConfig, ProxyHeaders, ProxyImage, ProxySettings, ProxyTracing, ServerHeader,
};
pub use request_authentication::{ClaimToHeader, JwtHeader, JwtRule, RequestAuthentication};
pub use service_entry::{
    GroupMetadata, Location, Resolution, ServiceEntry, ServiceEntryPort, WorkloadEntry,
    WorkloadGroup,
};
pub use sidecar::{
    CaptureMode, OutboundMode, OutboundTrafficPolicy, Sidecar, SidecarEgress, SidecarIngress,
};
pub use telemetry::{
    AccessLogFilter, AccessLogging, CustomTag, IstioMetric, MetricSelector, Metrics,
    MetricsOverride, ModeSelector, ProviderRef, TagLiteral, TagOperation, TagOverride, TagSource,
    Telemetry, Tracing, WorkloadMode,
};
pub use virtual_service::{
    Abort, CorsPolicy, Delay, Delegate, Destination, DirectResponse, Fault, HeaderOperations,
    Headers, HttpMatch, HttpRoute, L4Match, MirrorPolicy, Percent, PortSelector, Redirect,
    RedirectPort, RegexRewrite, ResponseBody, Retries, Rewrite, StringMatch, TcpRoute, TlsMatch,
    TlsRoute, UnmatchedPreflights, VirtualService, WeightedDestination,
};

use serde::Deserialize;

use crate::name::Selector;

/// Which workloads a policy is for, by `matchLabels`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// Labels that a workload must carry.
    pub match_labels: Selector,
}

/// Which workloads a traffic resource is for, by `labels`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that a workload must carry.
    pub labels: Selector,
}

/// What a policy is attached to, instead of workloads by label.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTargetReference {
    /// The API group; empty for Kubernetes' core.
    pub group: String,
    /// The kind, such as `Gateway`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The namespace, which can only be the policy's own.
    pub namespace: String,
}

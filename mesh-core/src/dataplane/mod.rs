//! The planned form: everything one proxy needs to know, and nothing it has to work out.
//!
//! The shape follows Envoy's v3 API, because that is how plans travel, but the types are ours:
//! files, tests and foreign control planes enter by this same door. A plan is so complete that the
//! proxy has nothing left to decide about configuration; it only compiles and runs it.

mod access;
mod cluster;
mod endpoints;
mod ext_authz;
mod feed;
mod filter;
mod human;
mod limit;
mod listener;
mod node;
mod origin;
mod policy;
mod route;
mod security;
mod snapshot;
mod telemetry;
mod token;

pub use access::{AccessAction, AccessPolicy, AccessRules, ClaimMatch, Permission, Principal};
pub use cluster::{
    Balancing, CircuitLimits, Cluster, ClusterMetadata, Discovery, DnsDiscovery, HashTable,
    Http2Keepalive, OriginalDestination, OutlierDetection, ProxyProtocol, RetryBudget, ServiceRef,
    SlowStart, TcpKeepalive, TlsMatch, UpstreamProtocol, UpstreamTls,
};
pub use endpoints::{
    Endpoint, EndpointAddress, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadTag,
};
pub use ext_authz::{AuthzBody, AuthzGate, AuthzService, ConnectionAuthz, ExtAuthzFilter};
pub use feed::{ConfigFeed, Refusal, ResourceType, Update, Verdict};
pub use filter::{
    EscapedSlashes, ForwardClientCert, HttpCodec, HttpConnectionManager, HttpFilter, NetworkFilter,
    RbacFilter, RouteSource, ServerHeader, TcpProxy, Tunnel,
};
pub use limit::{LimitKey, LimitMatch, LimitPriority, RateLimit, RateLimitFilter};
pub use listener::{
    ChainMatch, Direction, FilterChain, Listener, ListenerFilters, SourceType, Terminal,
    TransportProtocol,
};
pub use node::{Node, NodeKind};
pub use origin::Origin;
pub use policy::{
    Backoff, CorsPolicy, Fault, FaultAbort, FaultDelay, Fraction, HashPolicy, HeaderEdits,
    HeaderValue, Mirror, RegexRewrite, RetryPolicy,
};
pub use route::{
    ClusterChoice, DirectResponse, Forward, HeaderMatch, PathMatch, PathRewrite, PortRedirect,
    QueryMatch, Redirect, Route, RouteAction, RouteClaim, RouteMatch, RouteTable, SchemeRedirect,
    ValueMatch, VirtualHost, WeightedCluster,
};
pub use security::{
    ClientTls, PeerValidation, SanMatch, Secret, SecretSource, SecretValue, ServerTls, TlsVersion,
};
pub use snapshot::Snapshot;
pub use telemetry::{
    AccessLog, AccessLogFilter, AccessLogFormat, MetricChange, MetricSettings, SpanTag,
    SpanTagValue, Tracing,
};
pub use token::{ClaimHeader, JwtFilter, JwtHeader, JwtProvider};

pub use crate::name::IpNetwork;

/// The name of a planned resource: listener, route table, cluster, secret. Cheap to clone.
pub type Name = std::sync::Arc<str>;

#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use serde::Deserialize;

use super::{ConnectionPool, Destination, GatewayPort, LabelSelector, ServerTlsSettings};

/// What a workload's proxy may see (`networking.istio.io` `Sidecar`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    pub workload_selector: Option<LabelSelector>,
    pub ingress: Vec<SidecarIngress>,
    pub egress: Vec<SidecarEgress>,
    pub inbound_connection_pool: Option<ConnectionPool>,
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

/// A port of the workload, and what of it is behind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SidecarIngress {
    pub port: Option<GatewayPort>,
    pub bind: String,
    pub capture_mode: CaptureMode,
    pub default_endpoint: String,
    pub tls: Option<ServerTlsSettings>,
    pub connection_pool: Option<ConnectionPool>,
}

/// Hosts the workload calls, as `namespace/host`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SidecarEgress {
    pub port: Option<GatewayPort>,
    pub bind: String,
    pub capture_mode: CaptureMode,
    pub hosts: Vec<String>,
}

/// How connections come to a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaptureMode {
    #[default]
    Default,
    Iptables,
    None,
}

/// What becomes of calls to hosts nobody declared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTrafficPolicy {
    pub mode: OutboundMode,
    pub egress_proxy: Option<Destination>,
}

/// Whether undeclared hosts may be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// The protobuf default of a Sidecar that gives a policy without a mode.
    #[default]
    RegistryOnly,
    AllowAny,
    AllowAnyDynamicDns,
}

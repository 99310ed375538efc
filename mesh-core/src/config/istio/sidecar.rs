#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use serde::Deserialize;

use super::LabelSelector;

/// What a workload's proxy may see (`networking.istio.io` `Sidecar`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    pub workload_selector: Option<LabelSelector>,
    pub egress: Vec<SidecarEgress>,
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
}

impl Sidecar {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] = &[
        "spec.ingress",
        "spec.inboundConnectionPool",
        "spec.egress[].port",
        "spec.egress[].bind",
        "spec.egress[].captureMode",
        "spec.outboundTrafficPolicy.egressProxy",
    ];
}

/// Hosts the workload calls, as `namespace/host`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SidecarEgress {
    pub hosts: Vec<String>,
}

/// What becomes of calls to hosts nobody declared.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTrafficPolicy {
    pub mode: OutboundMode,
}

/// Whether undeclared hosts may be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// The protobuf default of a Sidecar that gives a policy without a mode.
    #[default]
    RegistryOnly,
    AllowAny,
}

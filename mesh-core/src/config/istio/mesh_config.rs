#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use serde::Deserialize;

use super::{super::Span, OutboundTrafficPolicy, Retries};

/// Settings of the whole mesh: the text under `mesh` in the ConfigMap `istio` of the root
/// namespace. What is not read here belongs to parts this mesh does not have.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfig {
    pub trust_domain: Option<String>,
    pub trust_domain_aliases: Vec<String>,
    pub root_namespace: Option<String>,
    pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    pub default_http_retry_policy: Option<Retries>,
    pub connect_timeout: Option<Span>,
    pub protocol_detection_timeout: Option<Span>,
    pub enable_auto_mtls: Option<bool>,
}

#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use serde::Deserialize;

use super::{
    super::Span, DefaultProviders, OutboundTrafficPolicy, ProviderDefinition, ProxySettings,
    Retries,
};

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
    pub extension_providers: Vec<ProviderDefinition>,
    pub default_providers: DefaultProviders,
    pub access_log_file: Option<String>,
    pub access_log_format: Option<String>,
    pub access_log_encoding: AccessLogEncoding,
    pub enable_tracing: Option<bool>,
    pub default_config: Option<ProxySettings>,
}

/// How a line of an access log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessLogEncoding {
    #[default]
    Text,
    Json,
}

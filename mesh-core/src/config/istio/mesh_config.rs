#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use serde::Deserialize;

use super::{
    super::Span, ConnectionPool, DefaultProviders, LocalityLbSetting, OutboundTrafficPolicy,
    OutlierDetection, ProviderDefinition, ProxySettings, Retries, TcpKeepalive, ZoneAwareLbSetting,
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
    pub default_traffic_policy: DefaultTrafficPolicy,
    pub locality_lb_setting: Option<LocalityLbSetting>,
    pub zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
    pub tcp_keepalive: Option<TcpKeepalive>,
    pub h2_upgrade_policy: Option<MeshH2Upgrade>,
    pub default_service_export_to: Vec<String>,
    pub default_virtual_service_export_to: Vec<String>,
    pub default_destination_rule_export_to: Vec<String>,
    pub dns_refresh_rate: Option<Span>,
    pub path_normalization: PathNormalization,
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: MeshTls,
}

impl MeshConfig {
    /// Fields that exist but are not honoured yet, or belong to parts this mesh does not have.
    pub(crate) const NOT_YET: &'static [&'static str] = &[
        "ca",
        "caCertificates",
        "certificates",
        "configSources",
        "defaultInboundHttpRetryPolicy",
        "disableEnvoyListenerLog",
        "discoverySelectors",
        "enableEnvoyAccessLogService",
        "enablePrometheusMerge",
        "inboundClusterStatName",
        "inboundTrafficPolicy",
        "ingressClass",
        "ingressControllerMode",
        "ingressSelector",
        "ingressService",
        "outboundClusterStatName",
        "proxyHttpPort",
        "proxyInboundListenPort",
        "proxyListenPort",
        "serviceEntryVisibility",
        "serviceScopeConfigs",
        "serviceSettings",
        "thriftConfig",
        "tlsDefaults",
        "verifyCertificateAtClient",
    ];
}

/// Which spellings of a path are unified before anybody looks at it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathNormalization {
    pub normalization: NormalizationType,
}

/// Spellings that are unified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationType {
    #[default]
    Default,
    None,
    Base,
    MergeSlashes,
    DecodeAndMergeSlashes,
}

/// How mutual TLS within the mesh is spoken.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTls {
    pub min_protocol_version: MeshTlsVersion,
    pub cipher_suites: Vec<String>,
    pub ecdh_curves: Vec<String>,
}

/// The oldest version of TLS within the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum MeshTlsVersion {
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    #[serde(rename = "TLSV1_2")]
    V1_2,
    #[serde(rename = "TLSV1_3")]
    V1_3,
}

/// How a line of an access log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessLogEncoding {
    #[default]
    Text,
    Json,
}

/// How destinations are called that no DestinationRule says more about.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultTrafficPolicy {
    pub connection_pool: Option<ConnectionPool>,
    pub outlier_detection: Option<OutlierDetection>,
}

/// Whether HTTP/1.1 is carried over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MeshH2Upgrade {
    DoNotUpgrade,
    Upgrade,
}

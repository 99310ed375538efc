#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{super::Span, CustomTag, WorkloadSelector};

/// How proxies of a namespace or a workload run (`networking.istio.io` `ProxyConfig`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfig {
    pub selector: Option<WorkloadSelector>,
    pub concurrency: Option<u32>,
    pub environment_variables: BTreeMap<String, String>,
    pub image: Option<ProxyImage>,
}

/// Which image runs the proxy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyImage {
    pub image_type: String,
}

/// How a proxy runs: `defaultConfig` of the mesh configuration, and the annotation
/// `proxy.istio.io/config` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxySettings {
    pub tracing: Option<ProxyTracing>,
    pub gateway_topology: Option<GatewayTopology>,
    pub proxy_headers: Option<ProxyHeaders>,
    pub connection_settings: Option<ConnectionSettings>,
}

impl ProxySettings {
    /// The annotation of a pod that holds settings as a YAML text.
    pub const ANNOTATION: &'static str = "proxy.istio.io/config";
    /// Fields that exist but are not honoured: mostly they are about how Envoy is started.
    pub(crate) const NOT_YET: &'static [&'static str] = &[
        "availabilityZone",
        "binaryPath",
        "caCertificatesPem",
        "concurrency",
        "configPath",
        "controlPlaneAuthPolicy",
        "customConfigFile",
        "discoveryAddress",
        "discoveryRefreshDelay",
        "drainDuration",
        "envoyAccessLogService",
        "envoyMetricsService",
        "envoyMetricsServiceAddress",
        "extraStatTags",
        "fileFlushInterval",
        "fileFlushMinSizeKb",
        "holdApplicationUntilProxyStarts",
        "image",
        "interceptionMode",
        "meshId",
        "parentShutdownDuration",
        "privateKeyProvider",
        "proxyAdminPort",
        "proxyBootstrapTemplatePath",
        "proxyMetadata",
        "proxyStatsMatcher",
        "readinessProbe",
        "runtimeValues",
        "sds",
        "serviceCluster",
        "statNameLength",
        "statsCompression",
        "statsdUdpAddress",
        "statusPort",
        "terminationDrainDuration",
        "tracingServiceName",
        "zipkinAddress",
        "tracing.zipkin",
        "tracing.lightstep",
        "tracing.datadog",
        "tracing.stackdriver",
        "tracing.openCensusAgent",
        "tracing.opencensusAgent",
        "tracing.tlsSettings",
        "gatewayTopology.proxyProtocol",
        "proxyHeaders.attemptCount",
        "proxyHeaders.envoyDebugHeaders",
        "proxyHeaders.metadataExchangeHeaders",
        "proxyHeaders.setCurrentClientCertDetails",
        "proxyHeaders.xForwardedHost",
        "proxyHeaders.xForwardedPort",
        "proxyHeaders.preserveHttp1HeaderCase",
    ];
}

/// Spans of one proxy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyTracing {
    pub sampling: Option<f64>,
    pub max_path_tag_length: Option<u32>,
    pub custom_tags: Option<BTreeMap<String, CustomTag>>,
    pub enable_istio_tags: Option<bool>,
}

/// What stands before a gateway.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTopology {
    pub num_trusted_proxies: Option<u32>,
    pub forward_client_cert_details: ForwardClientCertDetails,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ForwardClientCertDetails {
    #[default]
    Undefined,
    Sanitize,
    ForwardOnly,
    AppendForward,
    SanitizeSet,
    AlwaysForwardOnly,
}

/// Headers that proxies add.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyHeaders {
    pub forwarded_client_cert: ForwardClientCertDetails,
    pub request_id: Option<HeaderSwitch>,
    pub server: Option<ServerHeader>,
}

/// Whether a header is added.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderSwitch {
    pub disabled: Option<bool>,
}

/// The header `server`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerHeader {
    pub disabled: Option<bool>,
    pub value: String,
}

/// How connections are bounded.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionSettings {
    pub profile: ConnectionProfile,
    pub idle_timeout: Option<Span>,
    pub stream_idle_timeout: Option<Span>,
    pub request_timeout: Option<Span>,
    pub request_headers_timeout: Option<Span>,
    pub max_concurrent_streams: Option<u32>,
}

/// A set of bounds by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionProfile {
    #[default]
    Unspecified,
    Edge,
}

#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

/// Somebody who takes telemetry or decides on requests (`extensionProviders` of the mesh
/// configuration): a name and one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderDefinition {
    pub name: String,
    pub prometheus: Option<PrometheusProvider>,
    pub envoy_file_access_log: Option<FileAccessLogProvider>,
    pub opentelemetry: Option<TracingProvider>,
    pub zipkin: Option<TracingProvider>,
    pub datadog: Option<TracingProvider>,
    pub skywalking: Option<TracingProvider>,
    pub lightstep: Option<IgnoredAny>,
    pub opencensus: Option<IgnoredAny>,
    pub stackdriver: Option<IgnoredAny>,
    pub envoy_http_als: Option<IgnoredAny>,
    pub envoy_tcp_als: Option<IgnoredAny>,
    pub envoy_otel_als: Option<IgnoredAny>,
    pub sds: Option<IgnoredAny>,
    pub envoy_ext_authz_http: Option<IgnoredAny>,
    pub envoy_ext_authz_grpc: Option<IgnoredAny>,
}

/// The metrics that proxies show to Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrometheusProvider {}

/// A file of lines.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileAccessLogProvider {
    pub path: String,
    pub log_format: Option<LogFormat>,
}

/// What a line says: one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogFormat {
    pub text: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// A collector of spans.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingProvider {
    pub service: String,
    pub port: u16,
    pub max_tag_length: Option<u32>,
}

/// Who takes telemetry where no Telemetry says so.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    pub tracing: Vec<String>,
    pub metrics: Vec<String>,
    pub access_logging: Vec<String>,
}

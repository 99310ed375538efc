#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::super::Span;

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
    pub envoy_ext_authz_http: Option<ExtAuthzHttpProvider>,
    pub envoy_ext_authz_grpc: Option<ExtAuthzGrpcProvider>,
}

/// Who decides on requests by answering them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzHttpProvider {
    pub service: String,
    pub port: u32,
    pub timeout: Option<Span>,
    pub path_prefix: String,
    pub fail_open: bool,
    pub status_on_error: String,
    pub clear_route_cache: bool,
    pub include_headers_in_check: Vec<String>,
    pub include_request_headers_in_check: Vec<String>,
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    pub include_request_body_in_check: Option<ExtAuthzRequestBody>,
    pub headers_to_upstream_on_allow: Vec<String>,
    pub headers_to_downstream_on_deny: Vec<String>,
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// Who decides on requests and connections over gRPC.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzGrpcProvider {
    pub service: String,
    pub port: u32,
    pub timeout: Option<Span>,
    pub fail_open: bool,
    pub status_on_error: String,
    pub clear_route_cache: bool,
    pub include_request_body_in_check: Option<ExtAuthzRequestBody>,
}

/// How much of a body is shown to who decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzRequestBody {
    pub max_request_bytes: u32,
    pub allow_partial_message: bool,
    pub pack_as_bytes: bool,
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

use std::collections::BTreeMap;

use serde::Serialize;

use super::Fraction;
use crate::expression::Expression;

/// Where a line per request or connection goes, and what it says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessLog {
    /// A file; `/dev/stdout` is the process's own output.
    pub path: String,
    /// What a line says.
    pub format: AccessLogFormat,
    /// Which requests.
    pub filter: Option<AccessLogFilter>,
}

/// What a line says, with Envoy's `%COMMAND%` operators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// Envoy's default line.
    #[default]
    Default,
    /// This text.
    Text(String),
    /// A JSON object with these values.
    Json(BTreeMap<String, String>),
}

/// Which requests are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessLogFilter {
    /// Those with one of these response flags; empty means with any.
    ResponseFlags(Vec<String>),
    /// Those for which this holds; where it cannot be told, they are not logged.
    Expression(Expression),
}

/// Which requests are traced, and what their spans tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tracing {
    /// The share of requests that start a trace here.
    pub random_sampling: Fraction,
    /// Tags of every span.
    pub tags: Vec<SpanTag>,
    /// The longest path that a span tells, in bytes; none keeps Envoy's 256.
    pub max_path_tag_length: Option<u32>,
}

/// A tag of a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpanTag {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: SpanTagValue,
}

/// Where a tag's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanTagValue {
    /// This text.
    Literal(String),
    /// A variable of the proxy's environment, or this text where there is none.
    Environment {
        /// The variable.
        name: String,
        /// Where there is none; empty for no tag at all.
        default: String,
    },
    /// A request's header, or this text where there is none.
    Header {
        /// Its name.
        name: String,
        /// Where there is none; empty for no tag at all.
        default: String,
    },
    /// A text with `%COMMAND%` operators.
    Format(String),
}

/// What is changed of Istio's standard metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MetricSettings {
    /// Changes by metric, without `istio_`, as in `requests_total`.
    pub changes: BTreeMap<String, MetricChange>,
}

/// What is changed of one metric.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MetricChange {
    /// It is not counted.
    pub dropped: bool,
    /// Tags by name: an expression for their value, or none where they are left out.
    pub tags: BTreeMap<String, Option<Expression>>,
}

impl AccessLogFormat {
    /// Istio's default line, without its line feed.
    pub const ISTIO_TEXT: &str = concat!(
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
        "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
        "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
        "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
        "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
        "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
        "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
        "%REQUESTED_SERVER_NAME% %ROUTE_NAME%",
    );

    /// Istio's default JSON object: what each key tells.
    pub const ISTIO_JSON: &[(&str, &str)] = &[
        ("authority", "%REQ(:AUTHORITY)%"),
        ("bytes_received", "%BYTES_RECEIVED%"),
        ("bytes_sent", "%BYTES_SENT%"),
        (
            "connection_termination_details",
            "%CONNECTION_TERMINATION_DETAILS%",
        ),
        ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
        ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
        ("duration", "%DURATION%"),
        ("method", "%REQ(:METHOD)%"),
        ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
        ("protocol", "%PROTOCOL%"),
        ("request_id", "%REQ(X-REQUEST-ID)%"),
        ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
        ("response_code", "%RESPONSE_CODE%"),
        ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
        ("response_flags", "%RESPONSE_FLAGS%"),
        ("route_name", "%ROUTE_NAME%"),
        ("start_time", "%START_TIME%"),
        ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
        ("upstream_host", "%UPSTREAM_HOST%"),
        ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
        (
            "upstream_service_time",
            "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
        ),
        (
            "upstream_transport_failure_reason",
            "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        ),
        ("user_agent", "%REQ(USER-AGENT)%"),
        ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ];
}

impl Tracing {
    /// This share, and nothing else said.
    pub fn sampling(random_sampling: Fraction) -> Self {
        Self {
            random_sampling,
            ..Self::default()
        }
    }
}

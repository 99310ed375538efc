use std::collections::BTreeMap;

use serde::Serialize;

use super::Fraction;

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
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tracing {
    /// The share of requests that start a trace here.
    pub random_sampling: Fraction,
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
}

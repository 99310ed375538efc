//! The one place that turns a failure into an answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{body::ProxyBody, failure::Failure, grpc};

/// The answer to a request that failed, as Envoy words it.
pub(crate) fn failure(failure: &Failure, request_is_grpc: bool) -> Response<ProxyBody> {
    let (status, text) = wording(failure);
    let mut response = if request_is_grpc {
        grpc::trailers_only(grpc::status_of(status), &text)
    } else {
        plain(status, text)
    };
    if matches!(failure, Failure::Overflow) {
        response
            .headers_mut()
            .insert("x-envoy-overloaded", HeaderValue::from_static("true"));
    }
    if matches!(failure, Failure::TokenRefused { .. }) {
        // RFC 6750, section 3.
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer error=\"invalid_token\""),
        );
    }
    response
}

/// An answer with a text, or without a body if the text is empty.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<ProxyBody> {
    let text = text.into();
    let mut headers = HeaderMap::new();
    if !text.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    headers.insert(header::CONTENT_LENGTH, text.len().into());
    let mut response = Response::new(ProxyBody::full(text));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn wording(failure: &Failure) -> (StatusCode, String) {
    let status = |code: u16, otherwise| StatusCode::from_u16(code).unwrap_or(otherwise);
    match failure {
        Failure::NoRoute => (StatusCode::NOT_FOUND, String::new()),
        Failure::NoCluster { status: code } => (
            status(*code, StatusCode::SERVICE_UNAVAILABLE),
            String::new(),
        ),
        Failure::NoHealthyUpstream => (
            StatusCode::SERVICE_UNAVAILABLE,
            "no healthy upstream".into(),
        ),
        Failure::Overflow => (StatusCode::SERVICE_UNAVAILABLE, reset("overflow", "")),
        Failure::ConnectFailure { reason } => (
            StatusCode::SERVICE_UNAVAILABLE,
            reset("connection failure", reason),
        ),
        Failure::UpstreamReset { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            reset("connection termination", ""),
        ),
        Failure::Timeout | Failure::PerTryTimeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "upstream request timeout".into(),
        ),
        Failure::IdleTimeout => (StatusCode::REQUEST_TIMEOUT, "stream timeout".into()),
        Failure::TokenRefused { error } => (
            status(error.status(), StatusCode::UNAUTHORIZED),
            error.to_string(),
        ),
        Failure::AccessDenied { .. } => (StatusCode::FORBIDDEN, "RBAC: access denied".into()),
        Failure::RateLimited { status: code } => (
            status(*code, StatusCode::TOO_MANY_REQUESTS),
            "local_rate_limited".into(),
        ),
        Failure::FaultAbort { status: code } => (
            status(*code, StatusCode::INTERNAL_SERVER_ERROR),
            "fault filter abort".into(),
        ),
        Failure::BadRequest { .. } => (StatusCode::BAD_REQUEST, String::new()),
        Failure::TooManyHeaders => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, String::new()),
        Failure::UpgradeRefused => (StatusCode::FORBIDDEN, String::new()),
    }
}

fn reset(kind: &str, transport: &str) -> String {
    let mut text =
        format!("upstream connect error or disconnect/reset before headers. reset reason: {kind}");
    if !transport.is_empty() {
        text.push_str(", transport failure reason: ");
        text.push_str(transport);
    }
    text
}

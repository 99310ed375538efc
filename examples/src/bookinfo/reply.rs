//! Responses in the few shapes the services need.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::model::Trouble;

/// Every response is small and whole.
pub(crate) type Reply = Response<Full<Bytes>>;

pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(value).expect("our JSON types have string keys only");
    body_of(status, "application/json", body)
}

pub(crate) fn trouble(status: StatusCode, error: impl Into<String>) -> Reply {
    json(
        status,
        &Trouble {
            error: error.into(),
        },
    )
}

pub(crate) fn not_found() -> Reply {
    trouble(StatusCode::NOT_FOUND, "there is nothing here")
}

pub(crate) fn body_of(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

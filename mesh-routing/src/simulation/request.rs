//! Requests: as a question asks for them, and as they travel from proxy to proxy.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_core::mesh::Question;

use super::Unanswerable;
use crate::explain::{Request, SentRequest};

/// The request an application makes.
pub(super) fn request_of(question: &Question) -> Result<Request, Unanswerable> {
    let call = &question.call;
    let mut headers = HeaderMap::new();
    let mut authority = call.authority();
    for (name, value) in &question.headers {
        if name == "host" {
            authority.clone_from(value);
            continue;
        }
        let wrong = || Unanswerable::Header(format!("{name}: {value}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        headers.append(name, value);
    }
    if let Some(token) = &question.token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let value = value.map_err(|_| Unanswerable::Token)?;
        headers.insert(http::header::AUTHORIZATION, value);
    }
    let (path, query) = match call.path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (&*call.path_and_query, None),
    };
    let grpc = headers.get(http::header::CONTENT_TYPE);
    let http2 = grpc.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let method = Method::from_bytes(call.method.as_bytes());
    Ok(Request {
        method: method.map_err(|_| Unanswerable::Method(call.method.clone()))?,
        authority,
        path: path.to_owned(),
        query,
        headers,
        http2,
    })
}

/// The next proxy's view of a request that left one.
pub(super) fn request_after(sent: &SentRequest) -> Request {
    let (path, query) = match sent.path.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (&*sent.path, None),
    };
    Request {
        method: sent.method.parse().unwrap_or_default(),
        authority: sent.authority.clone(),
        path: path.to_owned(),
        query,
        headers: sent.headers.clone(),
        http2: sent.http2,
    }
}

/// A request that no proxy touched.
pub(super) fn as_sent(request: &Request) -> SentRequest {
    SentRequest {
        method: request.method.to_string(),
        path: request.path_and_query(),
        authority: request.authority.clone(),
        http2: request.http2,
        edits: Vec::new(),
        headers: request.headers.clone(),
    }
}

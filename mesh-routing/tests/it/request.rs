use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_routing::{RequestHead, access::Claims};
use serde::Deserialize;

/// A request as test data writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    pub host: String,
    pub scheme: String,
    /// Several values of a header are separated by `|`.
    pub headers: BTreeMap<String, String>,
    /// What its verified token says; none without one.
    pub claims: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A request that owns its parts.
pub(crate) struct Built {
    method: Method,
    request: Request,
    headers: HeaderMap,
    claims: Option<Claims>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            path: "/".into(),
            host: "a".into(),
            scheme: "http".into(),
            headers: BTreeMap::new(),
            claims: None,
        }
    }
}

impl Request {
    pub(crate) fn build(&self) -> Built {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            for value in values.split('|') {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
        }
        Built {
            method: self.method.parse().unwrap(),
            request: self.clone(),
            headers,
            claims: self.claims.clone().map(|claims| Claims::new(claims, &[])),
        }
    }
}

impl Built {
    pub(crate) fn head(&self) -> RequestHead<'_> {
        let path = self.request.path.as_str();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        RequestHead {
            method: &self.method,
            path,
            query,
            authority: &self.request.host,
            scheme: &self.request.scheme,
            headers: &self.headers,
            claims: self.claims.as_ref(),
        }
    }
}

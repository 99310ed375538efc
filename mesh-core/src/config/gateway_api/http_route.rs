#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use serde::Deserialize;

use super::{HttpFilter, ParentRef};
use crate::config::Span;

/// Where HTTP requests go (`HTTPRoute`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    pub parent_refs: Vec<ParentRef>,
    pub hostnames: Vec<String>,
    pub rules: Vec<HttpRule>,
}

impl HttpRoute {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] =
        &["spec.useDefaultGateways", "spec.rules[].sessionPersistence"];
}

/// A rule for HTTP requests.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    pub name: String,
    pub matches: Vec<HttpMatch>,
    pub filters: Vec<HttpFilter>,
    pub backend_refs: Vec<HttpBackendRef>,
    pub timeouts: Option<HttpTimeouts>,
    pub retry: Option<RouteRetry>,
}

/// Which HTTP requests: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    pub path: Option<PathMatch>,
    pub headers: Vec<ValueMatch>,
    pub query_params: Vec<ValueMatch>,
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathMatch {
    #[serde(rename = "type")]
    pub kind: PathMatchKind,
    pub value: Option<String>,
}

/// How a path is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum PathMatchKind {
    Exact,
    #[default]
    PathPrefix,
    RegularExpression,
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValueMatch {
    #[serde(rename = "type")]
    pub kind: MatchKind,
    pub name: String,
    pub value: String,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum MatchKind {
    #[default]
    Exact,
    RegularExpression,
}

/// Where requests go, with a share, and what is changed about those that go there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBackendRef {
    pub group: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
    pub port: Option<u16>,
    pub weight: Option<u32>,
    pub filters: Vec<HttpFilter>,
}

/// How long a request and each attempt may take; zero has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpTimeouts {
    pub request: Option<Span>,
    pub backend_request: Option<Span>,
}

/// When a request is tried again.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteRetry {
    pub codes: Vec<u16>,
    pub attempts: Option<u32>,
    pub backoff: Option<Span>,
}

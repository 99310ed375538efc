#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use serde::Deserialize;

use super::{BackendRef, ParentRef};

/// Where connections go (`TCPRoute`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    pub parent_refs: Vec<ParentRef>,
    pub rules: Vec<TcpRule>,
}

/// A rule for connections.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRule {
    pub name: String,
    pub backend_refs: Vec<BackendRef>,
}

/// Where TLS connections go, by the name they ask for (`TLSRoute`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRoute {
    pub parent_refs: Vec<ParentRef>,
    pub hostnames: Vec<String>,
    pub rules: Vec<TlsRule>,
}

/// A rule for TLS connections.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRule {
    pub name: String,
    pub backend_refs: Vec<BackendRef>,
}

impl TcpRoute {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] = &["spec.useDefaultGateways"];
}

impl TlsRoute {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] = &["spec.useDefaultGateways"];
}

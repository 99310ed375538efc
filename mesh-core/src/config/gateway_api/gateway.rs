#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LabelSelector, ObjectRef, SecretRef, references::Options};

/// Where traffic enters (`Gateway`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gateway {
    pub gateway_class_name: String,
    pub listeners: Vec<Listener>,
    pub addresses: Vec<GatewayAddress>,
    pub infrastructure: Option<Infrastructure>,
    pub tls: Option<GatewayTls>,
}

impl Gateway {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] =
        &["spec.allowedListeners", "spec.defaultScope"];
}

/// A port, and for which host.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    pub name: String,
    pub hostname: Option<String>,
    pub port: u16,
    pub protocol: String,
    pub tls: Option<ListenerTls>,
    pub allowed_routes: Option<AllowedRoutes>,
}

/// How callers' TLS is ended, or passed on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    pub mode: TlsMode,
    pub certificate_refs: Vec<SecretRef>,
    pub options: Options,
    /// Where v1alpha versions wrote how callers' certificates are checked.
    pub frontend_validation: Option<FrontendValidation>,
}

/// Whether TLS is ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TlsMode {
    #[default]
    Terminate,
    Passthrough,
}

/// Which routes may be attached to a listener.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRoutes {
    pub namespaces: Option<RouteNamespaces>,
    pub kinds: Vec<RouteGroupKind>,
}

/// Of which namespaces.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteNamespaces {
    pub from: NamespacesFrom,
    pub selector: Option<LabelSelector>,
}

/// Of which namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum NamespacesFrom {
    All,
    Selector,
    #[default]
    Same,
    None,
}

/// A kind of route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteGroupKind {
    pub group: Option<String>,
    pub kind: String,
}

/// Where a Gateway is reached.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayAddress {
    #[serde(rename = "type")]
    pub kind: AddressKind,
    pub value: String,
}

/// What an address is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum AddressKind {
    #[default]
    IpAddress,
    Hostname,
    /// A name of which only some implementation knows the meaning.
    Other(String),
}

impl From<String> for AddressKind {
    fn from(text: String) -> Self {
        match &*text {
            "IPAddress" => Self::IpAddress,
            "Hostname" => Self::Hostname,
            _ => Self::Other(text),
        }
    }
}

/// What the machinery that runs a Gateway is given.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub parameters_ref: Option<ObjectRef>,
}

/// TLS towards callers and destinations, for all listeners.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTls {
    pub backend: Option<BackendTls>,
    pub frontend: Option<FrontendTls>,
}

/// TLS towards destinations.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTls {
    pub client_certificate_ref: Option<SecretRef>,
}

/// TLS towards callers, beside what listeners say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    pub default: TlsValidation,
    pub per_port: Vec<PortTls>,
}

/// How callers' certificates are checked, if they are.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsValidation {
    pub validation: Option<FrontendValidation>,
}

/// How callers' certificates are checked at one port.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortTls {
    pub port: u16,
    pub tls: TlsValidation,
}

/// How callers' certificates are checked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    pub ca_certificate_refs: Vec<ObjectRef>,
    pub mode: FrontendValidationMode,
}

/// What becomes of callers whose certificate is missing or bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum FrontendValidationMode {
    #[default]
    AllowValidOnly,
    AllowInsecureFallback,
}

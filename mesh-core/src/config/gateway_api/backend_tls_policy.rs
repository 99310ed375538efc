#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use serde::Deserialize;

use super::{ObjectRef, PolicyTargetRef, references::Options};

/// How a Service is called over TLS (`BackendTLSPolicy`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicy {
    pub target_refs: Vec<PolicyTargetRef>,
    pub validation: BackendValidation,
    pub options: Options,
}

/// How the server's certificate is checked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendValidation {
    pub ca_certificate_refs: Vec<ObjectRef>,
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<WellKnownRoots>,
    pub hostname: String,
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// Roots that need not be brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum WellKnownRoots {
    System,
}

/// A name that the server's certificate may carry.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubjectAltName {
    #[serde(rename = "type")]
    pub kind: SubjectAltNameKind,
    pub hostname: String,
    pub uri: String,
}

/// What a name is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum SubjectAltNameKind {
    #[default]
    Hostname,
    #[serde(rename = "URI")]
    Uri,
}

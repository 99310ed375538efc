#![expect(
    missing_docs,
    reason = "fields and values are the Gateway API's; its reference explains them"
)]

use serde::Deserialize;

use super::{HeaderFilter, MatchKind, MirrorFilter, ObjectRef, ParentRef, ValueMatch};

/// Where gRPC calls go (`GRPCRoute`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRoute {
    pub parent_refs: Vec<ParentRef>,
    pub hostnames: Vec<String>,
    pub rules: Vec<GrpcRule>,
}

impl GrpcRoute {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] =
        &["spec.useDefaultGateways", "spec.rules[].sessionPersistence"];
}

/// A rule for gRPC calls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRule {
    pub name: String,
    pub matches: Vec<GrpcMatch>,
    pub filters: Vec<GrpcFilter>,
    pub backend_refs: Vec<GrpcBackendRef>,
}

/// Which gRPC calls: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcMatch {
    pub method: Option<GrpcMethodMatch>,
    pub headers: Vec<ValueMatch>,
}

/// A condition on the service and the method of a call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcMethodMatch {
    #[serde(rename = "type")]
    pub kind: MatchKind,
    pub service: Option<String>,
    pub method: Option<String>,
}

/// What is done to calls and answers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcFilter {
    #[serde(rename = "type")]
    pub kind: Option<GrpcFilterKind>,
    pub request_header_modifier: Option<HeaderFilter>,
    pub response_header_modifier: Option<HeaderFilter>,
    pub request_mirror: Option<MirrorFilter>,
    pub extension_ref: Option<ObjectRef>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum GrpcFilterKind {
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestMirror,
    ExtensionRef,
}

/// Where calls go, with a share, and what is changed about those that go there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcBackendRef {
    pub group: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
    pub port: Option<u16>,
    pub weight: Option<u32>,
    pub filters: Vec<GrpcFilter>,
}

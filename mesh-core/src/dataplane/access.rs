use std::collections::BTreeMap;

use serde::Serialize;

use super::{HeaderMatch, Name, Origin};
use crate::name::{IpNetwork, Pattern};

/// Who may do what (Envoy's `RBAC`): an action and the policies it is for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccessRules {
    /// What a match means.
    pub action: AccessAction,
    /// Policies by id; Istio's is `ns[<namespace>]-policy[<name>]-rule[<index>]`.
    pub policies: BTreeMap<Name, AccessPolicy>,
}

/// What a matching policy means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessAction {
    /// The request passes; what matches nothing is denied.
    Allow,
    /// The request is denied; what matches nothing passes.
    Deny,
    /// The request passes and is marked.
    Log,
}

/// Matches when one permission and one principal do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AccessPolicy {
    /// What is done.
    pub permissions: Vec<Permission>,
    /// Who does it.
    pub principals: Vec<Principal>,
    /// The resource that asked for this.
    pub origin: Option<Origin>,
}

/// A condition on what is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Always.
    Any,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    OneOf(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The path without its query.
    Path(Pattern),
    /// A header or pseudo-header.
    Header(HeaderMatch),
    /// The address the caller meant.
    DestinationNetwork(IpNetwork),
    /// The port the caller meant.
    DestinationPort(u16),
    /// The SNI the caller asked for.
    ServerName(Pattern),
}

/// A condition on who does it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// Anyone.
    Any,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    OneOf(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// The URI SAN of the caller's certificate; none asks only for a certificate.
    Authenticated(Option<Pattern>),
    /// The connection's other end.
    DirectRemoteNetwork(IpNetwork),
    /// The caller as `x-forwarded-for` tells it, by trusted hops.
    RemoteNetwork(IpNetwork),
    /// A header or pseudo-header.
    Header(HeaderMatch),
    /// A claim of the request's verified token.
    Claim(ClaimMatch),
}

/// A condition on a claim of a verified token. A request without one meets none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimMatch {
    /// Names that lead to it from the token's payload, through nested objects.
    pub path: Vec<String>,
    /// One of these must match the claim's text, or one text of its list.
    pub values: Vec<Pattern>,
}

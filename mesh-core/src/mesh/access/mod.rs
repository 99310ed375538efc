//! Who may call: what AuthorizationPolicies mean.

mod lower;
mod pattern;
mod provider;

pub(super) use lower::access_policy;
pub use provider::{AuthorizerHttp, AuthorizerProtocol, AuthorizerProvider};

use std::sync::Arc;

use crate::{
    config::Source,
    mesh::attachment::{Audience, Recipient},
    name::{IpNetwork, Pattern, ResourceRef},
};

/// The most rules of one policy (Istio's API).
pub const MAX_ACCESS_RULES: usize = 512;

/// What an AuthorizationPolicy means.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessPolicy {
    /// The AuthorizationPolicy.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The workloads it is for.
    pub audience: Audience,
    /// What a match means.
    pub action: AccessAction,
    /// Matches when one of these does; without any it matches nothing.
    pub rules: Vec<AccessRule>,
    /// Only tell what would have happened.
    pub is_dry_run: bool,
    /// It could not be read in full: until it can, it denies whatever it is about.
    pub is_broken: bool,
}

/// What a match means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessAction {
    /// The request passes; what matches no such policy is denied, if there is one.
    Allow,
    /// The request is denied.
    Deny,
    /// The request is marked.
    Audit,
    /// This provider decides.
    Custom(Arc<str>),
}

/// Matches when one source, one operation and every condition do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessRule {
    /// Who; empty for anyone.
    pub from: Vec<AccessSource>,
    /// What; empty for anything.
    pub to: Vec<AccessOperation>,
    /// Under which conditions.
    pub when: Vec<AccessCondition>,
}

/// Values of which one, and values of which none must match. Empty parts ask for nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Values<T> {
    /// One of these must.
    pub any: Vec<T>,
    /// None of these may.
    pub none: Vec<T>,
}

/// Who calls: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessSource {
    /// Identities without scheme, as in `cluster.local/ns/default/sa/web`.
    pub principals: Values<Pattern>,
    /// `issuer/subject` of a request's token.
    pub request_principals: Values<Pattern>,
    /// Namespaces of identities.
    pub namespaces: Values<Pattern>,
    /// Service accounts of identities, as `namespace/name`.
    pub service_accounts: Values<Arc<str>>,
    /// Trust domains of identities.
    pub trust_domains: Values<Pattern>,
    /// The connection's other end.
    pub ip_blocks: Values<IpNetwork>,
    /// The caller as trusted hops tell it.
    pub remote_ip_blocks: Values<IpNetwork>,
}

/// What is done: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessOperation {
    /// Hosts, without regard to case.
    pub hosts: Values<Pattern>,
    /// Ports of the workload.
    pub ports: Values<u16>,
    /// Methods.
    pub methods: Values<Pattern>,
    /// Paths without their query.
    pub paths: Values<Pattern>,
}

/// A condition on an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessCondition {
    /// A request's header, by name in lower case.
    Header(String, Values<Pattern>),
    /// As [`AccessSource::ip_blocks`].
    SourceIp(Values<IpNetwork>),
    /// As [`AccessSource::remote_ip_blocks`].
    RemoteIp(Values<IpNetwork>),
    /// As [`AccessSource::namespaces`].
    SourceNamespace(Values<Pattern>),
    /// As [`AccessSource::principals`].
    SourcePrincipal(Values<Pattern>),
    /// As [`AccessSource::service_accounts`].
    SourceServiceAccount(Values<Arc<str>>),
    /// As [`AccessSource::trust_domains`].
    SourceTrustDomain(Values<Pattern>),
    /// As [`AccessSource::request_principals`].
    RequestPrincipal(Values<Pattern>),
    /// The audiences of a request's token.
    RequestAudiences(Values<Pattern>),
    /// Who presents a request's token.
    RequestPresenter(Values<Pattern>),
    /// A claim of a request's token, by its path.
    RequestClaim(Vec<String>, Values<Pattern>),
    /// The address called.
    DestinationIp(Values<IpNetwork>),
    /// The port called.
    DestinationPort(Values<u16>),
    /// The server name asked for.
    ServerName(Values<Pattern>),
}

/// The policies in effect for a workload, by what a match means. CUSTOM is asked first, then
/// DENY, then ALLOW.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessScope {
    /// Providers that decide.
    pub custom: Vec<Arc<AccessPolicy>>,
    /// What is denied.
    pub deny: Vec<Arc<AccessPolicy>>,
    /// What passes; if there are any, nothing else does.
    pub allow: Vec<Arc<AccessPolicy>>,
    /// What is marked.
    pub audit: Vec<Arc<AccessPolicy>>,
}

impl AccessScope {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<T> Values<T> {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            none: Vec::new(),
        }
    }
}

impl AccessRule {
    /// Whether it asks for what only HTTP requests have.
    pub fn needs_http(&self) -> bool {
        let source =
            |s: &AccessSource| !s.request_principals.is_empty() || !s.remote_ip_blocks.is_empty();
        let operation = |o: &AccessOperation| {
            !(o.hosts.is_empty() && o.methods.is_empty() && o.paths.is_empty())
        };
        self.from.iter().any(source)
            || self.to.iter().any(operation)
            || self.when.iter().any(AccessCondition::needs_http)
    }
}

impl AccessRule {
    /// Whether it asks for what only a verified token tells.
    pub fn needs_token(&self) -> bool {
        let mut sources = self.from.iter();
        sources.any(|source| !source.request_principals.is_empty())
            || self.when.iter().any(|when| {
                matches!(
                    when,
                    AccessCondition::RequestPrincipal(_)
                        | AccessCondition::RequestAudiences(_)
                        | AccessCondition::RequestPresenter(_)
                        | AccessCondition::RequestClaim(..)
                )
            })
    }
}

impl AccessCondition {
    /// Whether it is about what only HTTP requests have.
    pub fn needs_http(&self) -> bool {
        matches!(
            self,
            Self::Header(..)
                | Self::RemoteIp(_)
                | Self::RequestPrincipal(_)
                | Self::RequestAudiences(_)
                | Self::RequestPresenter(_)
                | Self::RequestClaim(..)
        )
    }
}

/// Chooses the policies for a workload: those of the mesh, then of its namespace, that select it.
pub(super) fn in_effect(policies: &[Arc<AccessPolicy>], recipient: Recipient<'_>) -> AccessScope {
    let mut scope = AccessScope::default();
    for policy in policies {
        if policy.audience.includes(&policy.reference, recipient) {
            let list = match policy.action {
                AccessAction::Allow => &mut scope.allow,
                AccessAction::Deny => &mut scope.deny,
                AccessAction::Audit => &mut scope.audit,
                AccessAction::Custom(_) => &mut scope.custom,
            };
            list.push(policy.clone());
        }
    }
    scope
}

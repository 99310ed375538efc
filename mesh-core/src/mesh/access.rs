//! Who may call: what AuthorizationPolicies mean.

use std::sync::Arc;

use super::findings::Findings;
use crate::{
    config::{
        Problem, Resource, Source,
        istio::{self, AuthorizationAction},
    },
    name::{IpNetwork, Pattern, ResourceRef, Selector},
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
    /// The workloads; none for all of the namespace, or of the mesh in the root namespace.
    pub selector: Option<Selector>,
    /// What a match means.
    pub action: AccessAction,
    /// Matches when one of these does; without any it matches nothing.
    pub rules: Vec<AccessRule>,
    /// Only tell what would have happened.
    pub is_dry_run: bool,
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
pub(super) fn in_effect(
    policies: &[Arc<AccessPolicy>],
    root_namespace: &str,
    namespace: &str,
    labels: &crate::name::Labels,
) -> AccessScope {
    let mut scope = AccessScope::default();
    for policy in policies {
        let of = &*policy.reference.namespace;
        let selector = policy.selector.as_ref();
        let meant = (of == root_namespace || of == namespace)
            && selector.is_none_or(|selector| selector.matches(labels));
        if meant {
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

/// What an AuthorizationPolicy means.
pub(super) fn access_policy(
    resource: &Resource,
    written: &istio::AuthorizationPolicy,
) -> (Option<AccessPolicy>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
    };
    let provider = written.provider.as_ref().map(|provider| &*provider.name);
    let action = match (written.action, provider) {
        (AuthorizationAction::Allow, _) => AccessAction::Allow,
        (AuthorizationAction::Deny, _) => AccessAction::Deny,
        (AuthorizationAction::Audit, _) => AccessAction::Audit,
        (AuthorizationAction::Custom, Some(provider)) => AccessAction::Custom(provider.into()),
        (AuthorizationAction::Custom, None) => {
            lower
                .findings
                .error("spec.provider", "CUSTOM needs a provider");
            AccessAction::Deny
        }
    };
    if written.rules.len() > MAX_ACCESS_RULES {
        let reason = format!("more than {MAX_ACCESS_RULES} rules");
        lower.findings.error("spec.rules", reason);
    }
    if written.rules.is_empty() && matches!(action, AccessAction::Deny | AccessAction::Audit) {
        lower
            .findings
            .error("spec.rules", "is missing: nothing would ever match");
        lower.findings.advise("rules: [{}] matches everything");
    }
    let rules = written.rules.iter().enumerate();
    let rules = rules.map(|(i, rule)| lower.rule(&format!("spec.rules[{i}]"), rule));
    let rules: Vec<_> = rules.collect();
    if rules.iter().any(AccessRule::needs_token) {
        let reason = "tokens are not read yet: no request has a request principal or claims";
        lower.findings.warn("spec.rules", reason);
    }
    let annotations = &resource.metadata.annotations;
    let dry_run = annotations.get("istio.io/dry-run").map(String::as_str);
    let selector = written.selector.as_ref().map(|s| s.match_labels.clone());
    lower.findings.conclude(AccessPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        selector: selector.filter(|selector| !selector.is_empty()),
        action,
        rules,
        is_dry_run: dry_run == Some("true"),
    })
}

struct Lower<'a> {
    findings: Findings<'a>,
}

impl Lower<'_> {
    fn rule(&mut self, field: &str, written: &istio::AuthorizationRule) -> AccessRule {
        let from = written
            .from
            .iter()
            .enumerate()
            .map(|(i, from)| self.source(&format!("{field}.from[{i}].source"), &from.source));
        let from = from.collect();
        let to =
            written.to.iter().enumerate().map(|(i, to)| {
                self.operation(&format!("{field}.to[{i}].operation"), &to.operation)
            });
        let to = to.collect();
        let when = written.when.iter().enumerate();
        let when = when
            .filter_map(|(i, when)| self.condition(&format!("{field}.when[{i}]"), when))
            .collect();
        AccessRule { from, to, when }
    }

    fn source(&mut self, field: &str, written: &istio::Source) -> AccessSource {
        if *written == istio::Source::default() {
            self.findings.error(field, "asks for nothing");
            self.findings.advise("leave from away to mean anyone");
        }
        let w = written;
        AccessSource {
            principals: patterns(&w.principals, &w.not_principals),
            request_principals: patterns(&w.request_principals, &w.not_request_principals),
            namespaces: patterns(&w.namespaces, &w.not_namespaces),
            service_accounts: self.service_accounts(
                &format!("{field}.serviceAccounts"),
                &w.service_accounts,
                &w.not_service_accounts,
            ),
            trust_domains: patterns(&w.trust_domains, &w.not_trust_domains),
            ip_blocks: self.networks(field, "ipBlocks", &w.ip_blocks, &w.not_ip_blocks),
            remote_ip_blocks: self.networks(
                field,
                "remoteIpBlocks",
                &w.remote_ip_blocks,
                &w.not_remote_ip_blocks,
            ),
        }
    }

    fn operation(&mut self, field: &str, written: &istio::Operation) -> AccessOperation {
        if *written == istio::Operation::default() {
            self.findings.error(field, "asks for nothing");
            self.findings.advise("leave to away to mean anything");
        }
        AccessOperation {
            hosts: patterns(&written.hosts, &written.not_hosts),
            ports: self.ports(
                &format!("{field}.ports"),
                &written.ports,
                &written.not_ports,
            ),
            methods: patterns(&written.methods, &written.not_methods),
            paths: Values {
                any: self.paths(&format!("{field}.paths"), &written.paths),
                none: self.paths(&format!("{field}.notPaths"), &written.not_paths),
            },
        }
    }

    fn condition(&mut self, field: &str, written: &istio::Condition) -> Option<AccessCondition> {
        if written.values.is_empty() && written.not_values.is_empty() {
            self.findings
                .error(field, "one of values, notValues is needed");
        }
        let (values, not_values) = (&written.values, &written.not_values);
        let texts = || patterns(values, not_values);
        let at = format!("{field}.values");
        Some(match split_key(&written.key) {
            ("request.headers", Some(name)) => {
                AccessCondition::Header(name.first()?.to_ascii_lowercase(), texts())
            }
            ("request.auth.claims", Some(path)) => AccessCondition::RequestClaim(path, texts()),
            ("source.ip", None) => {
                AccessCondition::SourceIp(self.networks(field, "values", values, not_values))
            }
            ("remote.ip", None) => {
                AccessCondition::RemoteIp(self.networks(field, "values", values, not_values))
            }
            ("destination.ip", None) => {
                AccessCondition::DestinationIp(self.networks(field, "values", values, not_values))
            }
            ("destination.port", None) => {
                AccessCondition::DestinationPort(self.ports(&at, values, not_values))
            }
            ("source.namespace", None) => AccessCondition::SourceNamespace(texts()),
            ("source.principal", None) => AccessCondition::SourcePrincipal(texts()),
            ("source.serviceAccount", None) => AccessCondition::SourceServiceAccount(
                self.service_accounts(&at, values, not_values),
            ),
            ("source.trustDomain", None) => AccessCondition::SourceTrustDomain(texts()),
            ("request.auth.principal", None) => AccessCondition::RequestPrincipal(texts()),
            ("request.auth.audiences", None) => AccessCondition::RequestAudiences(texts()),
            ("request.auth.presenter", None) => AccessCondition::RequestPresenter(texts()),
            ("connection.sni", None) => AccessCondition::ServerName(texts()),
            _ => {
                let at = format!("{field}.key");
                self.findings
                    .error(&at, format!("unknown attribute {:?}", written.key));
                self.findings.advise(
                    "possible are request.headers[name], source.ip, source.namespace, \
                     source.principal, destination.port, connection.sni, ...",
                );
                return None;
            }
        })
    }

    fn networks(
        &mut self,
        field: &str,
        name: &str,
        any: &[String],
        none: &[String],
    ) -> Values<IpNetwork> {
        let mut capital = name.to_owned();
        capital[..1].make_ascii_uppercase();
        Values {
            any: self.findings.networks(&format!("{field}.{name}"), any),
            none: self
                .findings
                .networks(&format!("{field}.not{capital}"), none),
        }
    }

    fn ports(&mut self, field: &str, any: &[String], none: &[String]) -> Values<u16> {
        let mut ports = |texts: &[String]| {
            let ports = texts.iter().filter_map(|text| match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    self.findings.error(field, format!("{text:?} is no port"));
                    None
                }
            });
            ports.collect()
        };
        Values {
            any: ports(any),
            none: ports(none),
        }
    }

    /// `name` means one of the policy's own namespace.
    fn service_accounts(
        &mut self,
        field: &str,
        any: &[String],
        none: &[String],
    ) -> Values<Arc<str>> {
        let namespace = self.findings.reference().namespace.clone();
        let mut full = |texts: &[String]| -> Vec<Arc<str>> {
            for text in texts.iter().filter(|text| text.contains('*')) {
                self.findings
                    .error(field, format!("{text:?}: wildcards are not allowed here"));
            }
            let full = texts.iter().map(|text| match text.contains('/') {
                true => (&**text).into(),
                false => format!("{namespace}/{text}").into(),
            });
            full.collect()
        };
        Values {
            any: full(any),
            none: full(none),
        }
    }

    fn paths(&mut self, field: &str, texts: &[String]) -> Vec<Pattern> {
        let mut paths = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            match path_template(text) {
                Some(template) => {
                    paths.extend(self.findings.pattern(&format!("{field}[{i}]"), template));
                }
                None => paths.push(pattern(text)),
            }
        }
        paths
    }
}

fn patterns(any: &[String], none: &[String]) -> Values<Pattern> {
    let read = |texts: &[String]| texts.iter().map(|text| pattern(text)).collect();
    Values {
        any: read(any),
        none: read(none),
    }
}

/// `*` is any text that is not empty, `abc*` a beginning, `*abc` an end.
fn pattern(text: &str) -> Pattern {
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => Pattern::Regex(".+".into()),
        (Some(suffix), _) => Pattern::Suffix(suffix.into()),
        (None, Some(prefix)) => Pattern::Prefix(prefix.into()),
        (None, None) => Pattern::Exact(text.into()),
    }
}

/// `/a/{*}/b/{**}`: `{*}` is one segment, `{**}` any number of them.
fn path_template(text: &str) -> Option<Pattern> {
    if !text.contains("{*}") && !text.contains("{**}") {
        return None;
    }
    let mut regex = String::new();
    for (i, segment) in text.split('/').enumerate() {
        if i > 0 {
            regex.push('/');
        }
        match segment {
            "{*}" => regex.push_str("[^/]+"),
            "{**}" => regex.push_str(".*"),
            segment => regex.push_str(&regex::escape(segment)),
        }
    }
    Some(Pattern::Regex(regex))
}

/// `request.auth.claims[a][b]` to its name and path.
fn split_key(key: &str) -> (&str, Option<Vec<String>>) {
    let Some((name, path)) = key.split_once('[') else {
        return (key, None);
    };
    let Some(path) = path.strip_suffix(']').filter(|path| !path.is_empty()) else {
        return (key, None);
    };
    (name, Some(path.split("][").map(str::to_owned).collect()))
}

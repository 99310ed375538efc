//! AuthorizationPolicies: what never applies, and what does not hold for callers in plaintext.

use std::sync::Arc;

use super::{Analysis, unreachable::takes_text};
use crate::{
    config::{Code, Severity},
    mesh::{
        AccessAction, AccessCondition, AccessOperation, AccessPolicy, AccessRule, AccessSource,
        Mesh, MtlsMode, Values,
    },
    name::{IpNetwork, Pattern},
};

/// The most rules that are held against each other.
const MAX_COMPARED: usize = 2_000;

impl Analysis<'_> {
    pub(super) fn access(&mut self, mesh: &Mesh) {
        self.shadowed_rules();
        for policy in &self.rules.access {
            self.plaintext(mesh, policy);
            self.wrong_case(policy);
        }
    }

    /// Rules that allow what another policy denies altogether.
    fn shadowed_rules(&mut self) {
        let live = |policy: &&Arc<AccessPolicy>| !policy.is_dry_run;
        let of = |action: AccessAction| {
            let all = self.rules.access.iter().filter(live);
            all.filter(move |policy| policy.action == action)
                .collect::<Vec<_>>()
        };
        let (allow, deny) = (of(AccessAction::Allow), of(AccessAction::Deny));
        let denied: Vec<_> = deny
            .iter()
            .flat_map(|policy| policy.rules.iter().enumerate().map(move |r| (*policy, r)))
            .take(MAX_COMPARED)
            .collect();
        let allowed = allow
            .iter()
            .flat_map(|policy| policy.rules.iter().enumerate().map(move |r| (*policy, r)));
        for (policy, (i, rule)) in allowed.take(MAX_COMPARED) {
            let shadow = denied
                .iter()
                .find(|(deny, (_, denied))| self.reaches(deny, policy) && takes_rule(denied, rule));
            let Some((deny, (j, _))) = shadow else {
                continue;
            };
            let place = match self.set.resource(&deny.reference) {
                Some(written) => format!(
                    "{} ({}:{})",
                    deny.reference,
                    written.source.file,
                    written.line_of(&format!("spec.rules[{j}]"))
                ),
                None => deny.reference.to_string(),
            };
            let reason = format!("never allows anything: {place} denies all of it first");
            let field = format!("spec.rules[{i}]");
            self.warn(Code::ShadowedPolicy, &policy.reference, &field, reason);
        }
    }

    /// Whether one policy is for every workload another is for.
    fn reaches(&self, wide: &AccessPolicy, narrow: &AccessPolicy) -> bool {
        let namespace = wide.reference.namespace == self.rules.defaults.root_namespace
            || wide.reference.namespace == narrow.reference.namespace;
        namespace
            && match (&wide.audience.selector, &narrow.audience.selector) {
                (None, _) => true,
                (Some(wide), Some(narrow)) => wide.matches(&narrow.0),
                (Some(_), None) => false,
            }
    }

    /// Policies that ask who calls, at workloads that take calls without an identity.
    fn plaintext(&mut self, mesh: &Mesh, policy: &AccessPolicy) {
        let names = policy.rules.iter().position(names_caller);
        let (Some(i), false) = (names, self.instances.is_empty()) else {
            return;
        };
        let of = &policy.reference;
        let is_root = of.namespace == self.rules.defaults.root_namespace;
        let open = self.instances.iter().find_map(|instance| {
            let (namespace, labels) = (instance.namespace(), instance.labels);
            let selector = policy.audience.selector.as_ref();
            let is_meant = (is_root || namespace == &*of.namespace)
                && selector.is_none_or(|selector| selector.matches(labels));
            let mode = mesh.mtls(namespace, labels).mode;
            let is_open = is_meant && mode != MtlsMode::Strict;
            is_open.then(|| (instance.resource.reference.clone(), mode))
        });
        let Some((workload, mode)) = open else {
            return;
        };
        let (severity, what) = match (&policy.action, mode) {
            (AccessAction::Allow, MtlsMode::Disable) => (
                Severity::Warning,
                "no caller has one, so this allows nobody",
            ),
            (AccessAction::Allow, _) => (
                Severity::Info,
                "callers in plaintext have none and are not allowed",
            ),
            (AccessAction::Deny, _) => (
                Severity::Warning,
                "callers in plaintext have none and pass by this",
            ),
            (AccessAction::Audit | AccessAction::Custom(_), _) => {
                (Severity::Info, "callers in plaintext have none")
            }
        };
        let reason = format!("asks for an identity, but {workload} takes plaintext: {what}");
        self.report(
            severity,
            Code::PermissiveHole,
            of,
            &format!("spec.rules[{i}]"),
            reason,
        );
        let advice = "set mtls.mode STRICT by a PeerAuthentication for these workloads";
        self.advise(advice.to_owned());
    }

    /// Methods are case-sensitive (RFC 9110, section 9.1), and all that are registered are upper
    /// case.
    fn wrong_case(&mut self, policy: &AccessPolicy) {
        for (i, rule) in policy.rules.iter().enumerate() {
            for (j, to) in rule.to.iter().enumerate() {
                let methods = to.methods.any.iter().chain(&to.methods.none);
                for method in methods {
                    if let Pattern::Exact(text) = method
                        && text.bytes().any(|b| b.is_ascii_lowercase())
                    {
                        let reason = format!("{text:?} matches no request: methods are upper case");
                        let field = format!("spec.rules[{i}].to[{j}].operation");
                        self.warn(Code::WrongCase, &policy.reference, &field, reason);
                        self.advise(format!("write {}", text.to_ascii_uppercase()));
                    }
                }
            }
        }
    }
}

/// Whether a rule asks who calls: by what only a certificate tells.
fn names_caller(rule: &AccessRule) -> bool {
    let source = |source: &AccessSource| {
        !(source.principals.is_empty()
            && source.namespaces.is_empty()
            && source.service_accounts.is_empty()
            && source.trust_domains.is_empty())
    };
    let when = |when: &AccessCondition| {
        matches!(
            when,
            AccessCondition::SourceNamespace(_)
                | AccessCondition::SourcePrincipal(_)
                | AccessCondition::SourceServiceAccount(_)
                | AccessCondition::SourceTrustDomain(_)
        )
    };
    rule.from.iter().any(source) || rule.when.iter().any(when)
}

/// Whether whatever `b` matches is matched by `a` too.
fn takes_rule(a: &AccessRule, b: &AccessRule) -> bool {
    let from = a.from.is_empty()
        || (!b.from.is_empty()
            && b.from
                .iter()
                .all(|b| a.from.iter().any(|a| takes_source(a, b))));
    let to = a.to.is_empty()
        || (!b.to.is_empty()
            && b.to
                .iter()
                .all(|b| a.to.iter().any(|a| takes_operation(a, b))));
    from && to && a.when.iter().all(|a| b.when.contains(a))
}

fn takes_source(a: &AccessSource, b: &AccessSource) -> bool {
    takes(&a.principals, &b.principals, takes_text)
        && takes(&a.request_principals, &b.request_principals, takes_text)
        && takes(&a.namespaces, &b.namespaces, takes_text)
        && takes(&a.service_accounts, &b.service_accounts, |a, b| a == b)
        && takes(&a.trust_domains, &b.trust_domains, takes_text)
        && takes(&a.ip_blocks, &b.ip_blocks, takes_network)
        && takes(&a.remote_ip_blocks, &b.remote_ip_blocks, takes_network)
}

fn takes_operation(a: &AccessOperation, b: &AccessOperation) -> bool {
    takes(&a.hosts, &b.hosts, takes_text)
        && takes(&a.ports, &b.ports, |a, b| a == b)
        && takes(&a.methods, &b.methods, takes_text)
        && takes(&a.paths, &b.paths, takes_text)
}

fn takes<T: PartialEq>(a: &Values<T>, b: &Values<T>, one: fn(&T, &T) -> bool) -> bool {
    let any = a.any.is_empty()
        || (!b.any.is_empty() && b.any.iter().all(|b| a.any.iter().any(|a| one(a, b))));
    any && a.none.iter().all(|a| b.none.contains(a))
}

fn takes_network(a: &IpNetwork, b: &IpNetwork) -> bool {
    a.prefix_len <= b.prefix_len && a.contains(b.address)
}

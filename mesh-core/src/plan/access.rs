//! Who may call the workload: AuthorizationPolicies as RBAC filters, in the order in which they
//! are judged: CUSTOM, AUDIT, DENY, ALLOW.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    conditions::{self, Court},
    tokens,
    view::View,
};
use crate::{
    config::{Problem, Severity},
    dataplane::{AccessAction, AccessRules, HttpFilter, Name, NetworkFilter, Origin, RbacFilter},
    mesh,
};

/// The filters of one proxy.
pub(super) struct Access {
    /// For requests.
    pub(super) requests: Vec<HttpFilter>,
    /// For connections that are passed on.
    pub(super) connections: Vec<NetworkFilter>,
}

/// What is in effect for the proxy's workload.
pub(super) fn in_effect(view: &View<'_>, problems: &mut Vec<Problem>) -> Access {
    let scope = view.mesh.access(&view.node.namespace, &view.node.labels);
    let policies = [&scope.custom, &scope.audit, &scope.deny, &scope.allow];
    for policy in policies.into_iter().flatten() {
        problems.extend(not_honoured(policy));
    }
    // Istio's order: providers are asked before tokens are read, and what tokens say is known
    // before the mesh's own rules are judged.
    let custom = [(AccessAction::Deny, &scope.custom)];
    let own = [
        (AccessAction::Log, &scope.audit),
        (AccessAction::Deny, &scope.deny),
        (AccessAction::Allow, &scope.allow),
    ];
    let tokens = tokens::in_effect(view, problems);
    let mut requests: Vec<HttpFilter> = Vec::new();
    requests.extend(filters(view, &custom, true).map(HttpFilter::Rbac));
    requests.extend(tokens.map(HttpFilter::JwtAuthn));
    requests.extend(filters(view, &own, true).map(HttpFilter::Rbac));
    let connections = filters(view, &custom, false).chain(filters(view, &own, false));
    Access {
        requests,
        connections: connections.map(NetworkFilter::Rbac).collect(),
    }
}

type Judged<'a> = (AccessAction, &'a Vec<Arc<mesh::AccessPolicy>>);

fn filters<'a>(
    view: &'a View<'_>,
    judged: &'a [Judged<'a>],
    has_requests: bool,
) -> impl Iterator<Item = RbacFilter> + 'a {
    judged.iter().filter_map(move |(action, policies)| {
        let action = *action;
        let court = Court {
            defaults: view.mesh.defaults(),
            has_requests,
            denies: action == AccessAction::Deny,
        };
        let rules = |is_dry_run: bool| {
            let policies = policies
                .iter()
                .filter(|policy| policy.is_dry_run == is_dry_run);
            rules(court, action, policies)
        };
        let (rules, shadow_rules) = (rules(false), rules(true));
        (rules.is_some() || shadow_rules.is_some()).then(|| RbacFilter {
            rules,
            shadow_stat_prefix: match (&shadow_rules, action) {
                (None, _) => String::new(),
                (_, AccessAction::Allow) => "istio_dry_run_allow_".into(),
                (_, AccessAction::Deny | AccessAction::Log) => "istio_dry_run_deny_".into(),
            },
            shadow_rules,
        })
    })
}

/// None without any policy: an empty set of policies that allow would deny everything, as it does
/// when there are policies but none of their rules can match.
fn rules<'a>(
    court: Court<'_>,
    action: AccessAction,
    policies: impl Iterator<Item = &'a Arc<mesh::AccessPolicy>>,
) -> Option<AccessRules> {
    let mut any = false;
    let mut found = BTreeMap::new();
    for policy in policies {
        any = true;
        for (index, rule) in policy.rules.iter().enumerate() {
            let origin = Origin::of(policy.reference.clone()).at(format!("spec.rules[{index}]"));
            if let Some(judged) = conditions::policy(court, rule, origin) {
                found.insert(policy_id(policy, index), judged);
            }
        }
    }
    any.then_some(AccessRules {
        action,
        policies: found,
    })
}

/// `ns[default]-policy[reviews]-rule[0]`.
fn policy_id(policy: &mesh::AccessPolicy, rule: usize) -> Name {
    let (namespace, name) = (&policy.reference.namespace, &policy.reference.name);
    let id = format!("ns[{namespace}]-policy[{name}]-rule[{rule}]");
    match &policy.action {
        mesh::AccessAction::Custom(provider) => format!("istio-ext-authz-{provider}-{id}").into(),
        _ => id.into(),
    }
}

/// What of a policy does not take effect as it was meant.
fn not_honoured(policy: &mesh::AccessPolicy) -> Vec<Problem> {
    let problem = |field: String, reason: &str| {
        Problem::new(Severity::Error, policy.source.clone(), reason)
            .of(policy.reference.clone())
            .at(field)
    };
    let mut problems = Vec::new();
    if let mesh::AccessAction::Custom(_) = policy.action {
        let reason = "CUSTOM is not supported yet: what its rules match is denied";
        problems.push(problem("spec.action".into(), reason));
    }
    problems
}

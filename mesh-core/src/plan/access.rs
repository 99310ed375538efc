//! Who may call the workload: AuthorizationPolicies as RBAC filters, in the order in which they
//! are judged: CUSTOM, AUDIT, DENY, ALLOW.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    conditions::{self, Court},
    view::View,
};
use crate::{
    config::{Problem, Severity},
    dataplane::{AccessAction, AccessRules, Name, NetworkFilter, Origin, RbacFilter},
    mesh,
};

/// The filters of one proxy.
pub(super) struct Access {
    /// For requests.
    pub(super) requests: Vec<RbacFilter>,
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
    let connections = filters(view, &scope, false).into_iter();
    Access {
        requests: filters(view, &scope, true),
        connections: connections.map(NetworkFilter::Rbac).collect(),
    }
}

fn filters(view: &View<'_>, scope: &mesh::AccessScope, has_requests: bool) -> Vec<RbacFilter> {
    // Nobody can be asked yet, so what a provider was to decide is denied.
    let judged = [
        (AccessAction::Deny, &scope.custom),
        (AccessAction::Log, &scope.audit),
        (AccessAction::Deny, &scope.deny),
        (AccessAction::Allow, &scope.allow),
    ];
    let filter = |(action, policies): (AccessAction, &Vec<Arc<mesh::AccessPolicy>>)| {
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
    };
    judged.into_iter().filter_map(filter).collect()
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
    let denies = !matches!(
        policy.action,
        mesh::AccessAction::Allow | mesh::AccessAction::Audit
    );
    for (index, rule) in policy.rules.iter().enumerate() {
        if conditions::asks_for_token(rule) {
            let reason = match denies {
                true => "tokens are not judged yet: the rule denies whatever they say",
                false => "tokens are not judged yet: the rule never matches",
            };
            problems.push(problem(format!("spec.rules[{index}]"), reason));
        }
    }
    problems
}

//! Who may call the workload: AuthorizationPolicies as RBAC filters, in the order in which they
//! are judged: CUSTOM, AUDIT, DENY, ALLOW.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    authorizers::{self, Asked},
    conditions::{self, Court},
    tokens,
    view::View,
};
use crate::{
    config::Problem,
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
    // Istio's order: providers are asked before tokens are read, and what tokens say is known
    // before the mesh's own rules are judged.
    let own = [
        (AccessAction::Log, &scope.audit),
        (AccessAction::Deny, &scope.deny),
        (AccessAction::Allow, &scope.allow),
    ];
    let tokens = tokens::in_effect(view, problems);
    let mut requests: Vec<HttpFilter> = Vec::new();
    let (asked, connections_asked) = custom(view, &scope.custom, problems);
    requests.extend(asked);
    requests.extend(tokens.map(HttpFilter::JwtAuthn));
    requests.extend(filters(view, &own, true).map(HttpFilter::Rbac));
    let own = filters(view, &own, false).map(NetworkFilter::Rbac);
    Access {
        requests,
        connections: connections_asked.into_iter().chain(own).collect(),
    }
}

/// What CUSTOM policies come to, on requests and on connections.
fn custom(
    view: &View<'_>,
    policies: &[Arc<mesh::AccessPolicy>],
    problems: &mut Vec<Problem>,
) -> (Vec<HttpFilter>, Vec<NetworkFilter>) {
    let on_trial: Vec<_> = policies
        .iter()
        .filter(|policy| policy.is_dry_run)
        .cloned()
        .collect();
    let on_trial = [(AccessAction::Deny, &on_trial)];
    let mut requests: Vec<_> = filters(view, &on_trial, true)
        .map(HttpFilter::Rbac)
        .collect();
    let trial = filters(view, &on_trial, false).map(NetworkFilter::Rbac);
    let mut connections: Vec<_> = trial.collect();
    let rules = |has_requests| {
        let court = Court {
            defaults: view.mesh.defaults(),
            has_requests,
            denies: true,
        };
        let in_force = policies.iter().filter(|policy| !policy.is_dry_run);
        rules(court, AccessAction::Deny, in_force)
    };
    match authorizers::asked(view, policies, problems) {
        Asked::Nobody => {}
        Asked::Unknown(policy) => {
            let denied = authorizers::deny_all(policy);
            requests.push(HttpFilter::Rbac(denied.clone()));
            connections.push(NetworkFilter::Rbac(denied));
        }
        Asked::Somebody { name, provider } => {
            if let Some(rules) = rules(true) {
                requests.extend(authorizers::on_requests(name, provider, rules));
            }
            if let Some(rules) = rules(false) {
                connections.extend(authorizers::on_connections(name, provider, rules));
            }
        }
    }
    (requests, connections)
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

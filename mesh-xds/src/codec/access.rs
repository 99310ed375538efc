//! `AccessRules` ⇄ `envoy.config.rbac.v3.RBAC`, and the two filters that hold them.

use std::{collections::BTreeMap, mem::take};

use mesh_core::{
    dataplane::{
        AccessAction, AccessPolicy, AccessRules, Name, Origin, Permission, Principal, RbacFilter,
    },
    name::{Pattern, ResourceRef},
};

use super::{
    claim,
    matcher::{header_match, pattern, read_header_match, read_pattern},
    reader::{Reader, Unread},
    scalar::{cidr, read_cidr, read_port},
};
use crate::proto::{http_rbac, matcher, network_rbac, rbac};

pub(super) fn http_filter(value: &RbacFilter) -> http_rbac::Rbac {
    http_rbac::Rbac {
        rules: value.rules.as_ref().map(rules),
        shadow_rules: value.shadow_rules.as_ref().map(rules),
        shadow_rules_stat_prefix: value.shadow_stat_prefix.clone(),
        ..Default::default()
    }
}

pub(super) fn read_http_filter(r: &mut Reader, mut wire: http_rbac::Rbac) -> RbacFilter {
    let read = read_filter(
        r,
        wire.rules.take(),
        wire.shadow_rules.take(),
        take(&mut wire.shadow_rules_stat_prefix),
    );
    r.finish(
        wire,
        Unread::RefusedExcept(&[
            "rules_stat_prefix",
            "track_per_rule_stats",
            "shadow_matcher",
        ]),
    );
    read
}

pub(super) fn network_filter(value: &RbacFilter) -> network_rbac::Rbac {
    network_rbac::Rbac {
        rules: value.rules.as_ref().map(rules),
        shadow_rules: value.shadow_rules.as_ref().map(rules),
        shadow_rules_stat_prefix: value.shadow_stat_prefix.clone(),
        // Istio's; must not be empty.
        stat_prefix: "tcp.".into(),
        ..Default::default()
    }
}

pub(super) fn read_network_filter(r: &mut Reader, mut wire: network_rbac::Rbac) -> RbacFilter {
    let read = read_filter(
        r,
        wire.rules.take(),
        wire.shadow_rules.take(),
        take(&mut wire.shadow_rules_stat_prefix),
    );
    wire.stat_prefix.clear();
    r.finish(
        wire,
        Unread::RefusedExcept(&["shadow_matcher", "delay_deny"]),
    );
    read
}

/// What the filter for requests and the one for connections have in common.
fn read_filter(
    r: &mut Reader,
    rules: Option<rbac::Rbac>,
    shadow_rules: Option<rbac::Rbac>,
    shadow_stat_prefix: String,
) -> RbacFilter {
    let mut read =
        |field, wire: Option<rbac::Rbac>| wire.map(|wire| r.within(field, |r| read_rules(r, wire)));
    RbacFilter {
        rules: read("rules", rules),
        shadow_rules: read("shadow_rules", shadow_rules),
        shadow_stat_prefix,
    }
}

fn rules(value: &AccessRules) -> rbac::Rbac {
    use rbac::rbac::Action;
    let action = match value.action {
        AccessAction::Allow => Action::Allow,
        AccessAction::Deny => Action::Deny,
        AccessAction::Log => Action::Log,
    };
    rbac::Rbac {
        action: action.into(),
        policies: value
            .policies
            .iter()
            .map(|(id, value)| (id.to_string(), policy(value)))
            .collect(),
        ..Default::default()
    }
}

fn read_rules(r: &mut Reader, mut wire: rbac::Rbac) -> AccessRules {
    use rbac::rbac::Action;
    let action = match Action::try_from(take(&mut wire.action)) {
        Ok(Action::Allow) => AccessAction::Allow,
        Ok(Action::Deny) => AccessAction::Deny,
        Ok(Action::Log) => AccessAction::Log,
        Err(_) => {
            r.refuse("action", "is unknown");
            AccessAction::Deny
        }
    };
    let policies: BTreeMap<Name, AccessPolicy> = take(&mut wire.policies)
        .into_iter()
        .map(|(id, wire)| {
            let origin = origin_of(&id);
            let policy = r.within(format!("policies[{id}]"), |r| read_policy(r, wire, origin));
            (id.into(), policy)
        })
        .collect();
    r.finish(wire, Unread::RefusedExcept(&["audit_logging_options"]));
    AccessRules { action, policies }
}

fn policy(value: &AccessPolicy) -> rbac::Policy {
    rbac::Policy {
        permissions: value.permissions.iter().map(permission).collect(),
        principals: value.principals.iter().map(principal).collect(),
        ..Default::default()
    }
}

fn read_policy(r: &mut Reader, mut wire: rbac::Policy, origin: Option<Origin>) -> AccessPolicy {
    let read = AccessPolicy {
        permissions: r.each("permissions", take(&mut wire.permissions), read_permission),
        principals: r.each("principals", take(&mut wire.principals), read_principal),
        origin,
    };
    r.finish(wire, Unread::REFUSED);
    read
}

/// The AuthorizationPolicy that Istio's policy ids name: `ns[<namespace>]-policy[<name>]-rule[<n>]`.
/// Envoy's RBAC has no metadata, so this is how a rule's origin travels.
fn origin_of(id: &str) -> Option<Origin> {
    let (namespace, rest) = id.strip_prefix("ns[")?.split_once("]-policy[")?;
    let (name, rule) = rest.split_once("]-rule[")?;
    let origin = Origin::of(ResourceRef::new(
        "security.istio.io",
        "AuthorizationPolicy",
        namespace,
        name,
    ));
    let index = rule.strip_suffix(']')?.parse::<u32>();
    Some(match index {
        Ok(index) => origin.at(format!("spec.rules[{index}]")),
        Err(_) => origin,
    })
}

fn permission(value: &Permission) -> rbac::Permission {
    use rbac::permission::{Rule, Set};
    let set = |values: &[Permission]| Set {
        rules: values.iter().map(permission).collect(),
    };
    let rule = match value {
        Permission::Any => Rule::Any(true),
        Permission::All(values) => Rule::AndRules(set(values)),
        Permission::OneOf(values) => Rule::OrRules(set(values)),
        Permission::Not(value) => Rule::NotRule(Box::new(permission(value))),
        Permission::Path(path) => Rule::UrlPath(matcher::PathMatcher {
            rule: Some(matcher::path_matcher::Rule::Path(pattern(path, false))),
        }),
        Permission::Header(header) => Rule::Header(header_match(header)),
        Permission::DestinationNetwork(network) => Rule::DestinationIp(cidr(network)),
        Permission::DestinationPort(port) => Rule::DestinationPort((*port).into()),
        Permission::ServerName(name) => Rule::RequestedServerName(pattern(name, false)),
    };
    rbac::Permission { rule: Some(rule) }
}

fn read_permission(r: &mut Reader, wire: rbac::Permission) -> Permission {
    use rbac::permission::Rule;
    match wire.rule {
        Some(Rule::Any(true)) => Permission::Any,
        Some(Rule::AndRules(set)) => {
            Permission::All(r.each("and_rules.rules", set.rules, read_permission))
        }
        Some(Rule::OrRules(set)) => {
            Permission::OneOf(r.each("or_rules.rules", set.rules, read_permission))
        }
        Some(Rule::NotRule(wire)) => Permission::Not(Box::new(
            r.within("not_rule", |r| read_permission(r, *wire)),
        )),
        Some(Rule::UrlPath(wire)) => Permission::Path(r.within("url_path", |r| read_path(r, wire))),
        Some(Rule::Header(wire)) => {
            Permission::Header(r.within("header", |r| read_header_match(r, wire)))
        }
        Some(Rule::DestinationIp(wire)) => {
            Permission::DestinationNetwork(r.within("destination_ip", |r| read_cidr(r, wire)))
        }
        Some(Rule::DestinationPort(port)) => {
            Permission::DestinationPort(read_port(r, "destination_port", port))
        }
        Some(Rule::RequestedServerName(wire)) => {
            Permission::ServerName(r.within("requested_server_name", |r| read_pattern(r, wire)))
        }
        other => {
            r.refuse("rule", format!("is not supported ({other:?})"));
            Permission::Any
        }
    }
}

fn read_path(r: &mut Reader, wire: matcher::PathMatcher) -> Pattern {
    match wire.rule {
        Some(matcher::path_matcher::Rule::Path(wire)) => read_pattern(r, wire),
        None => {
            r.refuse("path", "is missing");
            Pattern::Exact(String::new())
        }
    }
}

#[expect(deprecated, reason = "the form that Istio sends")]
fn principal(value: &Principal) -> rbac::Principal {
    use rbac::principal::{Authenticated, Identifier, Set};
    let set = |values: &[Principal]| Set {
        ids: values.iter().map(principal).collect(),
    };
    let identifier = match value {
        Principal::Any => Identifier::Any(true),
        Principal::All(values) => Identifier::AndIds(set(values)),
        Principal::OneOf(values) => Identifier::OrIds(set(values)),
        Principal::Not(value) => Identifier::NotId(Box::new(principal(value))),
        Principal::Authenticated(name) => Identifier::Authenticated(Authenticated {
            principal_name: name.as_ref().map(|name| pattern(name, false)),
        }),
        Principal::DirectRemoteNetwork(network) => Identifier::DirectRemoteIp(cidr(network)),
        Principal::RemoteNetwork(network) => Identifier::RemoteIp(cidr(network)),
        Principal::Header(header) => Identifier::Header(header_match(header)),
        Principal::Claim(claim) => Identifier::Metadata(claim::claim(claim)),
    };
    rbac::Principal {
        identifier: Some(identifier),
    }
}

#[expect(deprecated, reason = "the form that Istio sends")]
fn read_principal(r: &mut Reader, wire: rbac::Principal) -> Principal {
    use rbac::principal::Identifier;
    match wire.identifier {
        Some(Identifier::Any(true)) => Principal::Any,
        Some(Identifier::AndIds(set)) => {
            Principal::All(r.each("and_ids.ids", set.ids, read_principal))
        }
        Some(Identifier::OrIds(set)) => {
            Principal::OneOf(r.each("or_ids.ids", set.ids, read_principal))
        }
        Some(Identifier::NotId(wire)) => {
            Principal::Not(Box::new(r.within("not_id", |r| read_principal(r, *wire))))
        }
        Some(Identifier::Authenticated(wire)) => Principal::Authenticated(
            wire.principal_name
                .map(|wire| r.within("authenticated.principal_name", |r| read_pattern(r, wire))),
        ),
        Some(Identifier::DirectRemoteIp(wire)) => {
            Principal::DirectRemoteNetwork(r.within("direct_remote_ip", |r| read_cidr(r, wire)))
        }
        Some(Identifier::RemoteIp(wire)) => {
            Principal::RemoteNetwork(r.within("remote_ip", |r| read_cidr(r, wire)))
        }
        Some(Identifier::Header(wire)) => {
            Principal::Header(r.within("header", |r| read_header_match(r, wire)))
        }
        Some(Identifier::Metadata(wire)) => {
            Principal::Claim(r.within("metadata", |r| claim::read_claim(r, wire)))
        }
        other => {
            r.refuse("identifier", format!("is not supported ({other:?})"));
            Principal::Any
        }
    }
}

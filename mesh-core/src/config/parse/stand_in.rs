//! What is left of a policy whose text is broken: whom it is for, and what it was to do.
//!
//! A part that cannot be read is left out where that makes the policy stricter, as a selector does:
//! without one it is for every workload of its namespace.

use serde::de::DeserializeOwned;

use crate::{
    config::{
        Spec,
        decode::decode,
        istio::{
            AuthorizationAction, AuthorizationPolicy, JwtRule, MutualTls, MutualTlsMode,
            PeerAuthentication, RequestAuthentication,
        },
        kind::SECURITY,
        tree::{Node, Value},
    },
    name::ResourceRef,
};

/// The spec of a broken policy as far as it can be read. None for kinds that may be left out.
pub(super) fn spec(node: &Node, reference: &ResourceRef, whole: Option<Spec>) -> Option<Spec> {
    if &*reference.group != SECURITY {
        return None;
    }
    // Where only fields are unknown, the others were read all the same.
    if whole.is_some() {
        return whole;
    }
    let spec = node.child("spec");
    Some(match &*reference.kind {
        "AuthorizationPolicy" => Spec::AuthorizationPolicy(AuthorizationPolicy {
            selector: part(spec, "selector"),
            target_ref: part(spec, "targetRef"),
            target_refs: part(spec, "targetRefs").unwrap_or_default(),
            action: match spec.and_then(|spec| spec.child("action")) {
                None => AuthorizationAction::Allow,
                Some(action) => typed(action).unwrap_or(AuthorizationAction::Deny),
            },
            provider: part(spec, "provider"),
            rules: Vec::new(),
        }),
        "RequestAuthentication" => Spec::RequestAuthentication(RequestAuthentication {
            selector: part(spec, "selector"),
            target_ref: part(spec, "targetRef"),
            target_refs: part(spec, "targetRefs").unwrap_or_default(),
            jwt_rules: items(spec, "jwtRules")
                .filter_map(typed::<JwtRule>)
                .collect(),
        }),
        "PeerAuthentication" => Spec::PeerAuthentication(PeerAuthentication {
            selector: part(spec, "selector"),
            mtls: spec.and_then(|spec| spec.child("mtls")).map(mutual_tls),
            port_level_mtls: spec
                .and_then(|spec| spec.child("portLevelMtls"))
                .into_iter()
                .flat_map(Node::entries)
                .filter_map(|(port, node)| Some((port.text()?.parse().ok()?, mutual_tls(node))))
                .collect(),
        }),
        _ => return None,
    })
}

fn part<T: DeserializeOwned>(spec: Option<&Node>, name: &str) -> Option<T> {
    typed(spec?.child(name)?)
}

fn items<'a>(spec: Option<&'a Node>, name: &str) -> impl Iterator<Item = &'a Node> {
    let list = spec.and_then(|spec| spec.child(name));
    let items = list.and_then(|list| match &list.value {
        Value::Sequence(items) => Some(items),
        _ => None,
    });
    items.into_iter().flatten()
}

fn mutual_tls(node: &Node) -> MutualTls {
    let strict = MutualTls {
        mode: MutualTlsMode::Strict,
    };
    typed(node).unwrap_or(strict)
}

/// A part, if every field of it is known and well formed.
fn typed<T: DeserializeOwned>(node: &Node) -> Option<T> {
    let (value, unread) = decode(node, "");
    value.ok().filter(|_| unread.is_empty())
}

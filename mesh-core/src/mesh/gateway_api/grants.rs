//! Who may refer to what is in another namespace (`ReferenceGrant`).

use super::world::Piece;
use crate::{
    config::{
        Problem, Resource, Spec,
        gateway_api::{GatewayApi, ReferenceGrant},
    },
    mesh::findings::Findings,
};

/// Every grant there is.
pub(super) struct Grants<'a>(Vec<(&'a str, &'a ReferenceGrant)>);

/// A reference from one namespace to another.
#[derive(Clone, Copy)]
pub(super) struct Reference<'a> {
    /// The kind that refers, of the Gateway API.
    pub(super) from_kind: &'a str,
    pub(super) from_namespace: &'a str,
    pub(super) to_group: &'a str,
    pub(super) to_kind: &'a str,
    pub(super) to_namespace: &'a str,
    pub(super) to_name: &'a str,
}

impl<'a> Grants<'a> {
    pub(super) fn of(pieces: &'a [Piece]) -> Self {
        let grants = pieces
            .iter()
            .filter_map(|piece| match &piece.resource.spec {
                Spec::GatewayApi(GatewayApi::ReferenceGrant(grant)) => {
                    Some((&*piece.resource.reference.namespace, grant))
                }
                _ => None,
            });
        Self(grants.collect())
    }

    /// Whether the namespace that is referred to lets it be; within a namespace nobody asks.
    pub(super) fn allow(&self, of: Reference<'_>) -> bool {
        if of.from_namespace == of.to_namespace {
            return true;
        }
        let here = self
            .0
            .iter()
            .filter(|(namespace, _)| *namespace == of.to_namespace);
        here.into_iter().any(|(_, grant)| {
            let from = grant.from.iter().any(|from| {
                from.group == GatewayApi::GROUP
                    && from.kind == of.from_kind
                    && from.namespace == of.from_namespace
            });
            let to = grant.to.iter().any(|to| {
                let name = to.name.as_deref().filter(|name| !name.is_empty());
                to.group == of.to_group
                    && to.kind == of.to_kind
                    && name.is_none_or(|name| name == of.to_name)
            });
            from && to
        })
    }
}

/// What is wrong with a grant by itself.
pub(super) fn check(resource: &Resource, written: &ReferenceGrant) -> Vec<Problem> {
    let mut findings = Findings::new(resource);
    if written.from.is_empty() {
        findings.error("spec.from", "at least one is needed");
    }
    if written.to.is_empty() {
        findings.error("spec.to", "at least one is needed");
    }
    for (i, from) in written.from.iter().enumerate() {
        if from.namespace.is_empty() {
            findings.error(&format!("spec.from[{i}].namespace"), "is missing");
        }
    }
    findings.conclude(()).1
}

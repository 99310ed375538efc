//! Whom a policy is for: workloads by label, or what it is attached to.

use std::sync::Arc;

use super::{Service, findings::Findings};
use crate::{
    config::istio::{PolicyTargetReference, WorkloadSelector},
    name::{Labels, ResourceRef, Selector},
};

/// The most `targetRefs` of one policy (Istio's API).
pub const MAX_TARGETS: usize = 16;

/// What a policy is attached to, in its own namespace, rather than to workloads by label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// The proxies that run this Gateway of the Gateway API.
    Gateway(Arc<str>),
    /// The workloads behind this Service.
    Service(Arc<str>),
    /// Something that only waypoints enforce, which this mesh does not have.
    Waypoint(Arc<str>),
}

/// Whom a policy is for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Audience {
    /// The workloads; none for all of the namespace, or of the mesh in the root namespace.
    pub selector: Option<Selector>,
    /// What it is attached to instead; empty if it is not.
    pub attached: Vec<Attachment>,
}

/// A workload that asks for its policies.
#[derive(Clone, Copy)]
pub(super) struct Recipient<'a> {
    pub(super) root_namespace: &'a str,
    pub(super) namespace: &'a str,
    pub(super) labels: &'a Labels,
    pub(super) services: &'a [Arc<Service>],
}

impl Audience {
    /// The label by which a proxy tells which Gateway of the Gateway API it runs.
    pub const GATEWAY_LABEL: &'static str = "gateway.networking.k8s.io/gateway-name";

    /// Reads `selector`, `targetRef` and `targetRefs`.
    pub(super) fn read(
        findings: &mut Findings<'_>,
        selector: Option<&WorkloadSelector>,
        target: Option<&PolicyTargetReference>,
        targets: &[PolicyTargetReference],
    ) -> Self {
        let selector = selector.map(|selector| selector.match_labels.clone());
        let selector = selector.filter(|selector| !selector.is_empty());
        if selector.is_some() && (target.is_some() || !targets.is_empty()) {
            findings.error("spec.selector", "and spec.targetRefs exclude each other");
        }
        if target.is_some() && !targets.is_empty() {
            findings.error("spec.targetRef", "and spec.targetRefs exclude each other");
        }
        if targets.len() > MAX_TARGETS {
            findings.error(
                "spec.targetRefs",
                format!("more than {MAX_TARGETS} targets"),
            );
        }
        let named = targets.iter().enumerate();
        let named = named.map(|(i, target)| (format!("spec.targetRefs[{i}]"), target));
        let one = target.map(|target| ("spec.targetRef".to_owned(), target));
        let all = one.into_iter().chain(named).take(MAX_TARGETS);
        Self {
            selector,
            attached: all
                .filter_map(|(field, target)| attachment(findings, &field, target))
                .collect(),
        }
    }

    /// Whether a policy of this name is for a workload.
    pub(super) fn includes(&self, policy: &ResourceRef, recipient: Recipient<'_>) -> bool {
        let of = &*policy.namespace;
        let is_own = of == recipient.namespace;
        if self.attached.is_empty() {
            let selector = self.selector.as_ref();
            return (is_own || of == recipient.root_namespace)
                && selector.is_none_or(|selector| selector.matches(recipient.labels));
        }
        is_own && self.attached.iter().any(|to| to.includes(recipient))
    }
}

impl Attachment {
    fn includes(&self, recipient: Recipient<'_>) -> bool {
        match self {
            Self::Gateway(name) => recipient.labels.value(Audience::GATEWAY_LABEL) == Some(&**name),
            Self::Service(name) => recipient.services.iter().any(|service| {
                let selector = service.selector.as_ref();
                *service.namespace == *recipient.namespace
                    && service.reference.name == *name
                    && selector.is_some_and(|selector| selector.matches(recipient.labels))
            }),
            Self::Waypoint(_) => false,
        }
    }
}

fn attachment(
    findings: &mut Findings<'_>,
    field: &str,
    written: &PolicyTargetReference,
) -> Option<Attachment> {
    if written.name.is_empty() {
        findings.error(&format!("{field}.name"), "is missing");
        return None;
    }
    if !written.namespace.is_empty() && *written.namespace != *findings.reference().namespace {
        let reason = "must be the policy's own: a policy reaches no other namespace";
        findings.error(&format!("{field}.namespace"), reason);
        return None;
    }
    let name: Arc<str> = (&*written.name).into();
    Some(match (&*written.group, &*written.kind) {
        ("gateway.networking.k8s.io", "Gateway") => Attachment::Gateway(name),
        ("" | "core", "Service") => Attachment::Service(name),
        ("gateway.networking.k8s.io", "GatewayClass") | ("networking.istio.io", "ServiceEntry") => {
            let reason = "is enforced by waypoints, which this mesh does not have: \
                          the policy is for nobody";
            findings.warn(field, reason);
            Attachment::Waypoint(name)
        }
        (group, kind) => {
            let reason = format!("{kind:?} of {group:?} is nothing a policy can be attached to");
            findings.error(field, reason);
            findings.advise(
                "possible are Gateway of gateway.networking.k8s.io, and Service of the core group",
            );
            return None;
        }
    })
}

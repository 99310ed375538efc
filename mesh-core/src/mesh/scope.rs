//! What a workload's proxy may see: what Sidecars mean.

use std::sync::Arc;

use super::{Service, findings::Findings};
use crate::{
    config::{
        Problem, Resource, Source,
        istio::{self, OutboundMode as WrittenMode},
    },
    name::{Host, ResourceRef, Selector},
};

/// What a workload may see: the services it calls, and what becomes of other calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The Sidecar that says so; none for the mesh's default.
    pub origin: Option<ResourceRef>,
    /// The services it sees; none for all that are exported to it.
    pub egress: Option<Vec<EgressHost>>,
    /// What becomes of calls to hosts nobody declared.
    pub outbound: OutboundMode,
}

/// What becomes of calls to hosts nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// They pass.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// Hosts of one namespace or of any.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressHost {
    /// Of which namespace.
    pub namespace: EgressNamespace,
    /// Which hosts.
    pub host: Host,
}

/// The namespace of an egress host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressNamespace {
    /// Any (`*`).
    Any,
    /// None (`~`): nothing is seen.
    Nowhere,
    /// This one.
    Only(Arc<str>),
}

/// What a Sidecar means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SidecarScope {
    pub(super) reference: ResourceRef,
    pub(super) source: Source,
    pub(super) selector: Option<Selector>,
    pub(super) egress: Option<Vec<EgressHost>>,
    pub(super) outbound: Option<OutboundMode>,
}

impl Scope {
    /// Whether a service is among those the workload calls.
    pub fn sees(&self, service: &Service) -> bool {
        let Some(egress) = &self.egress else {
            return true;
        };
        egress.iter().any(|hosts| {
            let here = match &hosts.namespace {
                EgressNamespace::Any => true,
                EgressNamespace::Nowhere => false,
                EgressNamespace::Only(namespace) => *namespace == service.namespace,
            };
            here && (hosts.host.covers(&service.host) || service.host.covers(&hosts.host))
        })
    }
}

impl From<WrittenMode> for OutboundMode {
    fn from(written: WrittenMode) -> Self {
        match written {
            WrittenMode::AllowAny => Self::AllowAny,
            WrittenMode::RegistryOnly => Self::RegistryOnly,
        }
    }
}

/// What a Sidecar means.
pub(super) fn sidecar_scope(
    resource: &Resource,
    written: &istio::Sidecar,
) -> (Option<SidecarScope>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let mut egress = Vec::new();
    for (i, listener) in written.egress.iter().enumerate() {
        for (j, text) in listener.hosts.iter().enumerate() {
            let field = format!("spec.egress[{i}].hosts[{j}]");
            let Some((namespace, host)) = text.split_once('/') else {
                findings.error(&field, format!("{text:?} lacks a namespace"));
                findings.advise(format!(
                    "write ./{text} for this namespace, */{text} for any"
                ));
                continue;
            };
            let namespace = match namespace {
                "*" => EgressNamespace::Any,
                "~" => EgressNamespace::Nowhere,
                "." => EgressNamespace::Only(resource.reference.namespace.clone()),
                namespace => EgressNamespace::Only(namespace.into()),
            };
            if let Some(host) = findings.host(&field, host) {
                egress.push(EgressHost { namespace, host });
            }
        }
    }
    let selector = written.workload_selector.as_ref().map(|s| s.labels.clone());
    findings.conclude(SidecarScope {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        selector: selector.filter(|selector| !selector.is_empty()),
        egress: (!written.egress.is_empty()).then_some(egress),
        outbound: written
            .outbound_traffic_policy
            .as_ref()
            .map(|policy| policy.mode.into()),
    })
}

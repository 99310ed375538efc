//! Which connections workloads accept: what PeerAuthentications mean.

use std::{collections::BTreeMap, sync::Arc};

use super::findings::Findings;
use crate::{
    config::{
        Problem, Resource, Source,
        istio::{self, MutualTlsMode},
    },
    name::{Labels, ResourceRef, Selector},
};

/// Which connections a port of a workload accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Plain text only.
    Disable,
    /// Both.
    #[default]
    Permissive,
    /// Mutual TLS only.
    Strict,
}

/// What a PeerAuthentication means.
#[derive(Debug, Clone, PartialEq)]
pub struct MtlsPolicy {
    /// The PeerAuthentication.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The workloads; none for all of the namespace.
    pub selector: Option<Selector>,
    /// For every port; none leaves it to the wider policy.
    pub mode: Option<MtlsMode>,
    /// For ports of the workload.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// It could not be read in full.
    pub is_broken: bool,
}

/// The mode in effect for each port of a workload, and who asked for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkloadMtls {
    /// For ports that are not named.
    pub mode: MtlsMode,
    /// For ports of the workload.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// The policy that decided `mode`; none for the default.
    pub origin: Option<ResourceRef>,
}

impl WorkloadMtls {
    /// The mode of a port.
    pub fn mode(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// What a PeerAuthentication means. A broken one is kept as far as it can be read: without it
/// callers without an identity could come in.
pub(super) fn mtls_policy(
    resource: &Resource,
    written: &istio::PeerAuthentication,
) -> (Option<MtlsPolicy>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let selector = written.selector.as_ref().map(|s| s.match_labels.clone());
    let selector = selector.filter(|selector| !selector.is_empty());
    if !written.port_level_mtls.is_empty() && selector.is_none() {
        findings.error("spec.portLevelMtls", "needs a selector");
        findings.advise("a port means something only for known workloads");
    }
    let ports = written.port_level_mtls.iter();
    let ports = ports.filter_map(|(port, mtls)| Some((*port, mode(mtls.mode)?)));
    let effect = "what can be read of it holds, and STRICT where a mode cannot be";
    let (is_broken, problems) = findings.fail_closed(effect);
    let policy = MtlsPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        mode: written.mtls.as_ref().and_then(|mtls| mode(mtls.mode)),
        ports: match selector {
            Some(_) => ports.collect(),
            None => BTreeMap::new(),
        },
        selector,
        is_broken,
    };
    (Some(policy), problems)
}

fn mode(written: MutualTlsMode) -> Option<MtlsMode> {
    match written {
        MutualTlsMode::Unset => None,
        MutualTlsMode::Disable => Some(MtlsMode::Disable),
        MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}

/// Merges the policies for a workload: mesh, namespace, workload, the narrower over the wider,
/// at each level the oldest. `policies` come oldest first.
pub(super) fn in_effect(
    policies: &[Arc<MtlsPolicy>],
    root_namespace: &str,
    namespace: &str,
    labels: &Labels,
) -> WorkloadMtls {
    let wide = |wanted: &str| {
        let mut of_namespace = policies.iter();
        of_namespace
            .find(|policy| *policy.reference.namespace == *wanted && policy.selector.is_none())
    };
    let narrow = policies.iter().find(|policy| {
        let selector = policy.selector.as_ref();
        *policy.reference.namespace == *namespace
            && selector.is_some_and(|selector| selector.matches(labels))
    });
    let mut merged = WorkloadMtls::default();
    for policy in [wide(root_namespace), wide(namespace), narrow]
        .into_iter()
        .flatten()
    {
        if let Some(mode) = policy.mode {
            merged.mode = mode;
            merged.origin = Some(policy.reference.clone());
        }
        merged.ports.clone_from(&policy.ports);
    }
    merged
}

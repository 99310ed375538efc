//! Who calls and who is called, as nodes of the mesh.

use std::{net::IpAddr, sync::Arc};

use mesh_core::{
    dataplane::{Node, NodeKind},
    mesh::{Caller, Mesh, TlsMode, Workload, WorkloadAddress},
};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswerable {
    /// Nobody of that name runs.
    #[error("nobody is called {name}{}", known(.candidates))]
    Caller {
        /// The name.
        name: String,
        /// Workloads of the namespace, or of all of them.
        candidates: Vec<String>,
    },
    /// A workload that is to be entered by is no gateway.
    #[error("{0} is no gateway: no Gateway selects it")]
    NoGateway(String),
    /// The caller has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// A token cannot be sent.
    #[error("such a token cannot be sent in a header")]
    Token,
    /// A header cannot be sent.
    #[error("{0:?} is no header")]
    Header(String),
    /// The method is none.
    #[error("{0:?} is no method")]
    Method(String),
    /// Nobody outside the mesh can resolve the host.
    #[error("{0} is nowhere in the mesh")]
    Nowhere(String),
}

fn known(candidates: &[String]) -> String {
    match candidates {
        [] => ", and nothing runs".to_owned(),
        names => format!("; those who run: {}", names.join(", ")),
    }
}

/// The workload a caller is; none for somebody outside.
pub(super) fn workload_of(
    mesh: &Mesh,
    caller: &Caller,
) -> Result<Option<Arc<Workload>>, Unanswerable> {
    match caller {
        Caller::Outside => Ok(None),
        Caller::Workload { namespace, name } => named(mesh, namespace, name).map(Some),
        Caller::Gateway { namespace, name } => {
            let workload = named(mesh, namespace, name)?;
            match kind(mesh, &workload) {
                NodeKind::Gateway => Ok(Some(workload)),
                NodeKind::Sidecar => Err(Unanswerable::NoGateway(format!("{namespace}/{name}"))),
            }
        }
    }
}

/// A workload by its own name, its owner's, its `app` or `istio` label, or its canonical name.
fn named(mesh: &Mesh, namespace: &str, name: &str) -> Result<Arc<Workload>, Unanswerable> {
    let workloads = mesh.endpoints().workloads();
    let here = || {
        let mut here: Vec<_> = workloads
            .iter()
            .filter(|w| *w.namespace == *namespace)
            .collect();
        here.sort_by(|a, b| a.name.cmp(&b.name));
        here
    };
    let label = |workload: &Workload, key: &str| workload.labels.value(key) == Some(name);
    let ways: [&dyn Fn(&Workload) -> bool; 5] = [
        &|workload| *workload.name == *name,
        &|workload| *workload.workload_name == *name,
        &|workload| label(workload, "app"),
        &|workload| label(workload, "istio"),
        &|workload| workload.labels.canonical_name() == Some(name),
    ];
    let found = ways
        .iter()
        .find_map(|is_meant| here().into_iter().find(|workload| is_meant(workload)));
    found.cloned().ok_or_else(|| {
        let mut candidates: Vec<String> = here().into_iter().map(|w| display(w)).collect();
        if candidates.is_empty() {
            candidates = workloads.iter().map(|w| display(w)).collect();
        }
        candidates.truncate(20);
        Unanswerable::Caller {
            name: format!("{namespace}/{name}"),
            candidates,
        }
    })
}

/// `default/reviews-v1-0`.
pub(super) fn display(workload: &Workload) -> String {
    format!("{}/{}", workload.namespace, workload.name)
}

/// The workload at an address.
pub(super) fn at(mesh: &Mesh, address: IpAddr) -> Option<&Arc<Workload>> {
    let wanted = WorkloadAddress::Ip(address);
    let mut workloads = mesh.endpoints().workloads().iter();
    workloads.find(|workload| workload.addresses.contains(&wanted))
}

/// Whether a proxy stands before the workload, or is it.
pub(super) fn has_proxy(mesh: &Mesh, workload: &Workload) -> bool {
    workload.tls_mode == TlsMode::Istio || kind(mesh, workload) == NodeKind::Gateway
}

/// A workload that a Gateway selects is one.
pub(super) fn kind(mesh: &Mesh, workload: &Workload) -> NodeKind {
    match mesh
        .gateways_of(&workload.namespace, &workload.labels)
        .next()
    {
        Some(_) => NodeKind::Gateway,
        None => NodeKind::Sidecar,
    }
}

/// A workload's proxy as the control plane knows it.
pub(super) fn node(mesh: &Mesh, workload: &Workload) -> Node {
    let addresses = workload
        .addresses
        .iter()
        .filter_map(|address| match address {
            WorkloadAddress::Ip(address) => Some(*address),
            WorkloadAddress::Dns(_) => None,
        });
    Node {
        kind: kind(mesh, workload),
        addresses: addresses.collect(),
        name: workload.name.to_string(),
        namespace: workload.namespace.to_string(),
        service_account: workload.service_account.to_string(),
        workload: workload.workload_name.to_string(),
        labels: workload.labels.clone(),
        locality: workload.locality.clone(),
        cluster_id: "Kubernetes".to_owned(),
        domain: mesh.defaults().domain.to_string(),
        http_proxy_port: None,
    }
}

//! The instances of a destination: the fast lane, which changes far more often than rules.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{places, security, view::View};
use crate::{
    dataplane::{
        Endpoint, EndpointAddress, EndpointHealth, EndpointSet, LocalityEndpoints, Name,
        WorkloadTag,
    },
    mesh::{self, LocalityPolicy, MtlsMode, Service, TlsMode, Workload, WorkloadAddress},
    name::{Labels, Locality, Selector},
};

/// What instances are wanted.
pub(super) struct Wanted<'a> {
    /// Of which service.
    pub(super) service: &'a Service,
    /// At which of its ports.
    pub(super) port: u16,
    /// Carrying which labels; none for all.
    pub(super) subset: Option<&'a Selector>,
    /// How their places count.
    pub(super) places: &'a LocalityPolicy,
}

/// The instances, under the name a cluster asks for them by.
pub(super) fn set(view: &View<'_>, name: &Name, wanted: &Wanted<'_>) -> EndpointSet {
    let mut groups: BTreeMap<&Locality, Vec<&mesh::Endpoint>> = BTreeMap::new();
    for instance in view.mesh.endpoints().of(wanted.service, wanted.port) {
        let labels = &instance.workload.labels;
        if wanted.subset.is_none_or(|subset| subset.matches(labels)) {
            let here = groups.entry(&instance.workload.locality).or_default();
            here.push(instance);
        }
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| (&a.address, a.port).cmp(&(&b.address, b.port)));
    }
    let planned = places::arrange(view, wanted.places, groups);
    EndpointSet {
        name: name.clone(),
        localities: planned
            .into_iter()
            .map(|group| LocalityEndpoints {
                locality: group.locality.clone(),
                weight: group.weight,
                priority: group.priority,
                endpoints: group
                    .members
                    .iter()
                    .map(|one| endpoint(view, one))
                    .collect(),
            })
            .collect(),
    }
}

fn endpoint(view: &View<'_>, instance: &mesh::Endpoint) -> Endpoint {
    let workload = &instance.workload;
    Endpoint {
        address: match &instance.address {
            WorkloadAddress::Ip(ip) => EndpointAddress::Socket(SocketAddr::new(*ip, instance.port)),
            WorkloadAddress::Dns(name) => EndpointAddress::Dns(name.to_string(), instance.port),
        },
        weight: workload.weight.max(1),
        health: match instance.is_ready {
            true => EndpointHealth::Healthy,
            false => EndpointHealth::Unhealthy,
        },
        tls_labels: match ends_tls(view, workload, instance.port) {
            true => security::mesh_tls_labels(),
            false => Labels::default(),
        },
        workload: tag(view, workload),
    }
}

/// Whether its proxy ends mutual TLS at this port.
fn ends_tls(view: &View<'_>, workload: &Workload, port: u16) -> bool {
    workload.tls_mode == TlsMode::Istio
        && view
            .mesh
            .mtls(&workload.namespace, &workload.labels)
            .mode(port)
            != MtlsMode::Disable
}

fn tag(view: &View<'_>, workload: &Workload) -> Option<WorkloadTag> {
    // Nothing is known of what a ServiceEntry's host resolves to.
    if workload.labels.is_empty() && workload.identity.is_none() {
        return None;
    }
    let canonical = workload.labels.canonical_name();
    Some(WorkloadTag {
        workload: workload.workload_name.clone(),
        namespace: workload.namespace.clone(),
        canonical_name: canonical.map_or_else(|| workload.workload_name.clone(), Name::from),
        canonical_revision: workload.labels.canonical_revision().into(),
        cluster: view.node.cluster_id.as_str().into(),
    })
}

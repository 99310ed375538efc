//! The instances of a destination: the fast lane, which changes far more often than rules.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{security, view::View};
use crate::{
    dataplane::{
        Endpoint, EndpointAddress, EndpointHealth, EndpointSet, LocalityEndpoints, Name,
        WorkloadTag,
    },
    mesh::{self, MtlsMode, Service, TlsMode, Workload, WorkloadAddress},
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
    /// Near ones come first: only where failing ones are found out.
    pub(super) by_distance: bool,
}

/// The instances, under the name a cluster asks for them by.
pub(super) fn set(view: &View<'_>, name: &Name, wanted: &Wanted<'_>) -> EndpointSet {
    let mut places: BTreeMap<&Locality, Vec<Endpoint>> = BTreeMap::new();
    for instance in view.mesh.endpoints().of(wanted.service, wanted.port) {
        let labels = &instance.workload.labels;
        if wanted.subset.is_none_or(|subset| subset.matches(labels)) {
            let here = places.entry(&instance.workload.locality).or_default();
            here.push(endpoint(view, instance));
        }
    }
    let mut localities: Vec<_> = places
        .into_iter()
        .map(|(locality, mut endpoints)| {
            endpoints.sort_by(|a, b| a.address.cmp(&b.address));
            LocalityEndpoints {
                locality: locality.clone(),
                weight: endpoints.iter().map(|endpoint| endpoint.weight).sum(),
                priority: match wanted.by_distance {
                    true => distance(&view.node.locality, locality),
                    false => 0,
                },
                endpoints,
            }
        })
        .collect();
    without_gaps(&mut localities);
    EndpointSet {
        name: name.clone(),
        localities,
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

/// 0 in the same sub-zone, 1 in the same zone, 2 in the same region, 3 elsewhere.
fn distance(own: &Locality, other: &Locality) -> u32 {
    let region = own.region == other.region;
    let zone = region && own.zone == other.zone;
    let sub_zone = zone && own.sub_zone == other.sub_zone;
    3 - u32::from(region) - u32::from(zone) - u32::from(sub_zone)
}

/// Priorities start at 0 and leave none out: whoever balances counts on that.
fn without_gaps(localities: &mut [LocalityEndpoints]) {
    let mut used: Vec<u32> = localities.iter().map(|place| place.priority).collect();
    used.sort_unstable();
    used.dedup();
    for place in localities {
        let rank = used.binary_search(&place.priority).unwrap_or_default();
        place.priority = u32::try_from(rank).unwrap_or(u32::MAX);
    }
}

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::MeshDefaults;
use crate::{
    config::{PortName, Resource, istio::WorkloadEntry, kubernetes::Pod},
    identity::SpiffeId,
    name::{Labels, Locality, ResourceRef},
};

/// A running instance: a pod, a WorkloadEntry, or an endpoint written into a ServiceEntry.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its own name, as in `reviews-v1-5d8f-x2x4q`.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// The resource that declares it.
    pub reference: ResourceRef,
    /// Where it is called. A pod may have several addresses, the first being the main one.
    pub addresses: Vec<WorkloadAddress>,
    /// Labels.
    pub labels: Labels,
    /// Service account; empty if it has none.
    pub service_account: Arc<str>,
    /// Its identity, if it has a service account.
    pub identity: Option<SpiffeId>,
    /// Where it runs.
    pub locality: Locality,
    /// The network it is reached in.
    pub network: Arc<str>,
    /// The machine it runs on, perhaps empty.
    pub node_name: Arc<str>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Its share among its neighbours.
    pub weight: u32,
    /// Whether it takes requests.
    pub is_ready: bool,
    /// The owner's name, such as a Deployment's, as in `reviews-v1`.
    pub workload_name: Arc<str>,
    /// Whether its proxy ends mutual TLS.
    pub tls_mode: TlsMode,
}

/// Where a workload is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadAddress {
    /// At an address.
    Ip(IpAddr),
    /// At a name that DNS resolves.
    Dns(Arc<str>),
}

/// Whether a workload's proxy ends mutual TLS (`security.istio.io/tlsMode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// It has no proxy, or one that speaks no TLS.
    #[default]
    Disabled,
    /// It does.
    Istio,
}

impl Workload {
    /// The label that says whether a workload's proxy ends mutual TLS.
    pub const TLS_MODE_LABEL: &'static str = "security.istio.io/tlsMode";
    /// The label that names a workload's owner.
    pub const WORKLOAD_NAME_LABEL: &'static str = "service.istio.io/workload-name";

    /// The number of the port a service means; none if it has no port of this name.
    pub fn port(&self, target: &PortName) -> Option<u16> {
        match target {
            PortName::Number(number) => Some(*number),
            PortName::Name(name) => self.ports.get(name).copied(),
        }
    }

    /// What a Pod means; none before it has an address.
    pub(super) fn of_pod(resource: &Resource, pod: &Pod, defaults: &MeshDefaults) -> Option<Self> {
        let ips = pod.status.pod_ips.iter().map(|ip| &ip.ip);
        let mut addresses = Vec::new();
        for text in std::iter::once(&pod.status.pod_ip).chain(ips) {
            if let Ok(ip) = text.parse().map(WorkloadAddress::Ip)
                && !addresses.contains(&ip)
            {
                addresses.push(ip);
            }
        }
        if addresses.is_empty() {
            return None;
        }
        let containers = pod.spec.containers.iter().flat_map(|c| &c.ports);
        let ports = containers
            .filter(|port| !port.name.is_empty())
            .map(|port| (port.name.clone(), port.container_port));
        Some(Self {
            addresses,
            ports: ports.collect(),
            is_ready: pod.status.is_ready(),
            workload_name: owner(resource),
            locality: locality(&resource.metadata.labels, ""),
            node_name: (&*pod.spec.node_name).into(),
            ..Self::base(
                resource,
                &resource.metadata.labels,
                pod.spec.service_account(),
                defaults,
            )
        })
    }

    /// What a WorkloadEntry, or an endpoint of a ServiceEntry, means; none without an address.
    pub(super) fn of_entry(
        resource: &Resource,
        entry: &WorkloadEntry,
        defaults: &MeshDefaults,
    ) -> Option<Self> {
        let address = match entry.address.parse() {
            Ok(ip) => WorkloadAddress::Ip(ip),
            Err(_) if entry.address.is_empty() => return None,
            Err(_) => WorkloadAddress::Dns((&*entry.address).into()),
        };
        let base = Self::base(resource, &entry.labels, &entry.service_account, defaults);
        // Istio: a service account is taken for a sign of a proxy, unless the label says no.
        let tls_mode = match entry.labels.value(Self::TLS_MODE_LABEL) {
            None if !entry.service_account.is_empty() => TlsMode::Istio,
            _ => base.tls_mode,
        };
        Some(Self {
            addresses: vec![address],
            ports: entry.ports.clone(),
            tls_mode,
            weight: entry.weight.unwrap_or(1).max(1),
            network: (&*entry.network).into(),
            locality: locality(&entry.labels, &entry.locality),
            ..base
        })
    }

    /// An address of which nothing else is known.
    pub(super) fn of_address(resource: &Resource, address: WorkloadAddress) -> Self {
        Self {
            addresses: vec![address],
            ..Self::base(resource, &Labels::default(), "", &MeshDefaults::default())
        }
    }

    fn base(
        resource: &Resource,
        labels: &Labels,
        service_account: &str,
        defaults: &MeshDefaults,
    ) -> Self {
        let ResourceRef {
            namespace, name, ..
        } = &resource.reference;
        Self {
            name: name.clone(),
            namespace: namespace.clone(),
            reference: resource.reference.clone(),
            addresses: Vec::new(),
            labels: labels.clone(),
            service_account: service_account.into(),
            identity: defaults.identity(namespace, service_account),
            locality: Locality::default(),
            network: "".into(),
            node_name: "".into(),
            ports: BTreeMap::new(),
            weight: 1,
            is_ready: true,
            workload_name: name.clone(),
            tls_mode: match labels.value(Self::TLS_MODE_LABEL) {
                Some("istio") => TlsMode::Istio,
                _ => TlsMode::Disabled,
            },
        }
    }
}

/// The owner: by label, else the pod's name without what its ReplicaSet appended.
fn owner(resource: &Resource) -> Arc<str> {
    let labels = &resource.metadata.labels;
    let name = &resource.reference.name;
    if let Some(owner) = labels.value(Workload::WORKLOAD_NAME_LABEL) {
        return owner.into();
    }
    labels
        .value("pod-template-hash")
        .and_then(|hash| name.split_once(&format!("-{hash}-")))
        .map_or_else(|| name.clone(), |(owner, _)| owner.into())
}

/// `region/zone/sub_zone`, by field or by label (`istio-locality`, there with dots).
fn locality(labels: &Labels, field: &str) -> Locality {
    let text = match (field, labels.value("istio-locality")) {
        ("", Some(label)) if !label.contains('/') => label.replace('.', "/"),
        ("", Some(label)) => label.to_owned(),
        (field, _) => field.to_owned(),
    };
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Locality {
        region: part(),
        zone: part(),
        sub_zone: part(),
    }
}

//! What a cluster would add to files that were never applied to one.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{MeshDefaults, Workload};
use crate::{
    config::{
        Change, ConfigSet, Resource, Spec,
        gateway_api::{self, AddressKind, GatewayAddress, GatewayApi},
        kubernetes::{Deployment, Pod, PodSpec, PodStatus},
    },
    name::{IpNetwork, Labels, ResourceRef, Selector},
};

/// The label by which a pod asks for a proxy, or not to have one.
const INJECT: &str = "sidecar.istio.io/inject";
/// The label of pods that were made for a Gateway of the Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Adds what a cluster would: pods for Deployments that have none, proxies for pods, and a pod for
/// each Gateway that no workload stands for. For questions to files alone: where things run, they
/// are told.
///
/// Pods of Deployments are named `<deployment>-0`, `<deployment>-1`, at most two of each; pods of
/// gateways are named after the value of their `istio` label, those of the Gateway API
/// `<gateway>-<class>` in its namespace. Pods, as long as they do not say
/// otherwise by the label `sidecar.istio.io/inject`, have a proxy.
pub fn with_assumed_pods(set: &ConfigSet, defaults: &MeshDefaults) -> ConfigSet {
    let mut addresses = Addresses::besides(set);
    let mut changes = Vec::new();
    for resource in set.iter() {
        match &resource.spec {
            Spec::Pod(pod) if pod.status.pod_ip.is_empty() && pod.status.pod_ips.is_empty() => {
                let mut pod = pod.clone();
                pod.status.pod_ip = addresses.next();
                changes.push(with_proxy(resource, Some(pod)));
            }
            Spec::Pod(_) if lacks_proxy(&resource.metadata.labels) => {
                changes.push(with_proxy(resource, None));
            }
            Spec::Deployment(deployment) if !has_pods(set, resource, deployment) => {
                let pods = pods_of(resource, deployment, &mut addresses);
                changes.extend(pods.map(Change::Put));
            }
            _ => {}
        }
    }
    let set = set.apply(changes);
    let gateways = gateways(&set, defaults, &mut addresses);
    set.apply(gateways.into_iter().map(Change::Put))
}

/// The range in which services get addresses that a cluster would give them.
pub fn assumed_virtual_addresses() -> IpNetwork {
    IpNetwork {
        address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)),
        prefix_len: 16,
    }
}

/// Addresses of pods, one after the other.
struct Addresses {
    taken: BTreeSet<String>,
    last: u32,
}

impl Addresses {
    fn besides(set: &ConfigSet) -> Self {
        let pods = set.iter().filter_map(|resource| match &resource.spec {
            Spec::Pod(pod) => Some(pod.status.pod_ip.clone()),
            _ => None,
        });
        Self {
            taken: pods.collect(),
            last: Ipv4Addr::new(10, 244, 0, 0).to_bits(),
        }
    }

    fn next(&mut self) -> String {
        loop {
            self.last = self.last.wrapping_add(1);
            let address = Ipv4Addr::from_bits(self.last).to_string();
            if self.taken.insert(address.clone()) {
                return address;
            }
        }
    }
}

fn lacks_proxy(labels: &Labels) -> bool {
    labels.value(Workload::TLS_MODE_LABEL).is_none() && labels.value(INJECT) != Some("false")
}

/// The pod with its proxy's label, and perhaps with another content.
fn with_proxy(resource: &Resource, pod: Option<Pod>) -> Change {
    let mut changed = resource.clone();
    if lacks_proxy(&changed.metadata.labels) {
        let labels = changed.metadata.labels.iter();
        changed.metadata.labels = labels
            .chain([(Workload::TLS_MODE_LABEL, "istio")])
            .collect();
    }
    if let Some(pod) = pod {
        changed.spec = Spec::Pod(pod);
    }
    Change::Put(Arc::new(changed))
}

fn has_pods(set: &ConfigSet, resource: &Resource, deployment: &Deployment) -> bool {
    let selector = match deployment.spec.selector.match_labels.is_empty() {
        true => Selector(deployment.spec.template.metadata.labels.clone()),
        false => deployment.spec.selector.match_labels.clone(),
    };
    set.iter().any(|other| {
        matches!(other.spec, Spec::Pod(_))
            && other.reference.namespace == resource.reference.namespace
            && selector.matches(&other.metadata.labels)
    })
}

/// More pods of one kind would answer no question that two do not.
const MOST_PODS: u32 = 2;

fn pods_of<'a>(
    resource: &'a Resource,
    deployment: &'a Deployment,
    addresses: &'a mut Addresses,
) -> impl Iterator<Item = Arc<Resource>> + 'a {
    let owner = &resource.reference;
    let template = &deployment.spec.template;
    (0..deployment.spec.wanted().min(MOST_PODS)).map(move |index| {
        let name = format!("{}-{index}", owner.name);
        let added = [(Workload::WORKLOAD_NAME_LABEL, &*owner.name)];
        let labels = template.metadata.labels.iter().chain(added).collect();
        assumed(
            &owner.namespace,
            &name,
            labels,
            template.spec.clone(),
            addresses,
        )
    })
}

fn assumed(
    namespace: &str,
    name: &str,
    labels: Labels,
    spec: PodSpec,
    addresses: &mut Addresses,
) -> Arc<Resource> {
    let labels = match lacks_proxy(&labels) {
        true => labels
            .iter()
            .chain([(Workload::TLS_MODE_LABEL, "istio")])
            .collect(),
        false => labels,
    };
    let status = PodStatus {
        phase: "Running".into(),
        pod_ip: addresses.next(),
        ..PodStatus::default()
    };
    let spec = Spec::Pod(Pod { spec, status });
    Arc::new(Resource::in_memory(namespace, name, labels, spec))
}

/// Pods for Gateways whose selector no pod meets.
fn gateways(
    set: &ConfigSet,
    defaults: &MeshDefaults,
    addresses: &mut Addresses,
) -> Vec<Arc<Resource>> {
    let mut found: Vec<Arc<Resource>> = Vec::new();
    for resource in set.iter() {
        if let Spec::GatewayApi(GatewayApi::Gateway(gateway)) = &resource.spec {
            found.extend(made_for(set, resource, gateway, addresses));
            continue;
        }
        let Spec::Gateway(gateway) = &resource.spec else {
            continue;
        };
        let selector = &gateway.selector;
        let pods = set
            .iter()
            .filter(|other| matches!(other.spec, Spec::Pod(_)));
        let stands = |pod: &Arc<Resource>| selector.matches(&pod.metadata.labels);
        let is_there = pods.chain(&found).any(stands);
        let name = selector.0.iter().find(|(key, _)| *key == "istio");
        let (Some((_, name)), false) = (name.or_else(|| selector.0.iter().next()), is_there) else {
            continue;
        };
        let namespace = &defaults.root_namespace;
        let spec = PodSpec::default();
        let pod = assumed(namespace, name, selector.0.clone(), spec, addresses);
        found.push(pod);
    }
    found
}

/// The pod that would be made for a Gateway of the Gateway API, named `<gateway>-<class>` as
/// istiod does; none where proxies are run by hand.
fn made_for(
    set: &ConfigSet,
    resource: &Resource,
    gateway: &gateway_api::Gateway,
    addresses: &mut Addresses,
) -> Option<Arc<Resource>> {
    let ResourceRef {
        namespace, name, ..
    } = &resource.reference;
    let is_by_hand = |address: &GatewayAddress| address.kind == AddressKind::Hostname;
    let label: Labels = [(GATEWAY_NAME, &**name)].into_iter().collect();
    let selector = Selector(label.clone());
    let mut pods = set.iter().filter(|other| {
        matches!(other.spec, Spec::Pod(_)) && other.reference.namespace == *namespace
    });
    let is_there = pods.any(|pod| selector.matches(&pod.metadata.labels));
    if is_there || gateway.addresses.iter().any(is_by_hand) {
        return None;
    }
    let pod = format!("{name}-{}", gateway.gateway_class_name);
    Some(assumed(
        namespace,
        &pod,
        label,
        PodSpec::default(),
        addresses,
    ))
}

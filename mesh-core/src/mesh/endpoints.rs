use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{MeshDefaults, Resolution, Service, ServicePort, Workload, WorkloadAddress};
use crate::{
    config::{
        ConfigSet, PortName, Resource, Spec,
        kubernetes::{EndpointSlice, SliceEndpoint},
    },
    identity::SpiffeId,
    name::{AppProtocol, Host, Selector},
};

/// The instances of every service. Kept apart from the rules, because it changes far more often.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointIndex {
    workloads: Vec<Arc<Workload>>,
    services: BTreeMap<(Arc<str>, Host), Arc<ServiceEndpoints>>,
}

/// The instances of one service, by its ports.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceEndpoints {
    ports: BTreeMap<u16, Vec<Endpoint>>,
}

/// One instance of one port of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The workload, with its labels, service account, locality and TLS mode.
    pub workload: Arc<Workload>,
    /// Where it is called.
    pub address: WorkloadAddress,
    /// The port it is called at.
    pub port: u16,
    /// Whether to call it.
    pub is_ready: bool,
}

impl EndpointIndex {
    /// Finds the instances of services among what runs.
    pub(super) fn resolve(
        set: &ConfigSet,
        services: &[Arc<Service>],
        defaults: &MeshDefaults,
        before: &Self,
    ) -> Self {
        let finder = Finder::new(set, defaults);
        let found = services.iter().map(|service| {
            let key = (service.namespace.clone(), service.host.clone());
            let endpoints = finder.endpoints(service);
            // An equal value is kept, so that whoever holds it can tell that nothing changed.
            let endpoints = match before.services.get(&key) {
                Some(old) if **old == endpoints => old.clone(),
                _ => Arc::new(endpoints),
            };
            (key, endpoints)
        });
        Self {
            services: found.collect(),
            workloads: finder.workloads,
        }
    }

    /// Every workload, pods and WorkloadEntries, by name.
    pub fn workloads(&self) -> &[Arc<Workload>] {
        &self.workloads
    }

    /// The workload of this name.
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.workloads
            .iter()
            .find(|workload| *workload.namespace == *namespace && *workload.name == *name)
    }

    /// The instances of a service. The same `Arc` as before as long as nothing changed.
    pub fn service(&self, service: &Service) -> Option<&Arc<ServiceEndpoints>> {
        self.services
            .get(&(service.namespace.clone(), service.host.clone()))
    }

    /// The instances of a port of a service.
    pub fn of(&self, service: &Service, port: u16) -> &[Endpoint] {
        self.service(service)
            .map_or(&[][..], |endpoints| endpoints.of(port))
    }

    /// Those of them that carry a subset's labels.
    pub fn of_subset<'a>(
        &'a self,
        service: &Service,
        port: u16,
        labels: &'a Selector,
    ) -> impl Iterator<Item = &'a Endpoint> {
        self.of(service, port)
            .iter()
            .filter(|endpoint| labels.matches(&endpoint.workload.labels))
    }

    /// The identities a caller of the service may meet.
    pub fn identities(&self, service: &Service) -> BTreeSet<SpiffeId> {
        let endpoints = self.service(service).into_iter();
        endpoints
            .flat_map(|endpoints| endpoints.ports.values().flatten())
            .filter_map(|endpoint| endpoint.workload.identity.clone())
            .collect()
    }
}

impl ServiceEndpoints {
    /// The instances of a port.
    pub fn of(&self, port: u16) -> &[Endpoint] {
        self.ports.get(&port).map_or(&[][..], Vec::as_slice)
    }
}

/// What runs, sorted for the search.
struct Finder<'a> {
    set: &'a ConfigSet,
    defaults: &'a MeshDefaults,
    workloads: Vec<Arc<Workload>>,
    by_address: HashMap<(Arc<str>, WorkloadAddress), Arc<Workload>>,
    /// By namespace and each of their labels.
    by_label: HashMap<(Arc<str>, String, String), Vec<Arc<Workload>>>,
    /// By namespace and name of the service.
    slices: BTreeMap<(Arc<str>, &'a str), Vec<Slice<'a>>>,
}

type Slice<'a> = (&'a Resource, &'a EndpointSlice);

impl<'a> Finder<'a> {
    fn new(set: &'a ConfigSet, defaults: &'a MeshDefaults) -> Self {
        let mut finder = Self {
            set,
            defaults,
            workloads: Vec::new(),
            by_address: HashMap::new(),
            by_label: HashMap::new(),
            slices: BTreeMap::new(),
        };
        for resource in set.iter() {
            let workload = match &resource.spec {
                Spec::Pod(pod) => Workload::of_pod(resource, pod, defaults),
                Spec::WorkloadEntry(entry) => Workload::of_entry(resource, entry, defaults),
                Spec::EndpointSlice(slice) => {
                    let labels = &resource.metadata.labels;
                    if let Some(service) = labels.value("kubernetes.io/service-name") {
                        let key = (resource.reference.namespace.clone(), service);
                        finder
                            .slices
                            .entry(key)
                            .or_default()
                            .push((resource, slice));
                    }
                    None
                }
                _ => None,
            };
            if let Some(workload) = workload {
                finder.add(Arc::new(workload));
            }
        }
        finder
    }

    fn add(&mut self, workload: Arc<Workload>) {
        for (key, value) in workload.labels.iter() {
            let label = (workload.namespace.clone(), key.into(), value.into());
            self.by_label
                .entry(label)
                .or_default()
                .push(workload.clone());
        }
        for address in &workload.addresses {
            let key = (workload.namespace.clone(), address.clone());
            self.by_address
                .entry(key)
                .or_insert_with(|| workload.clone());
        }
        self.workloads.push(workload);
    }

    /// The workloads of a namespace that carry these labels.
    fn selected(&self, namespace: &Arc<str>, selector: &Selector) -> Vec<&Arc<Workload>> {
        let Some((key, value)) = selector.0.iter().next() else {
            let all = self.workloads.iter();
            return all
                .filter(|workload| workload.namespace == *namespace)
                .collect();
        };
        let label = (namespace.clone(), key.to_owned(), value.to_owned());
        let candidates = self.by_label.get(&label).into_iter().flatten();
        candidates
            .filter(|workload| selector.matches(&workload.labels))
            .collect()
    }

    fn endpoints(&self, service: &Service) -> ServiceEndpoints {
        let slices = self
            .slices
            .get(&(service.namespace.clone(), &*service.name));
        match (slices, &service.selector) {
            (Some(slices), _) if service.is_kubernetes() => self.told(service, slices),
            (_, Some(selector)) => {
                let chosen = self.selected(&service.namespace, selector);
                spread(service, chosen, |_, _| None)
            }
            (_, None) if service.is_kubernetes() => ServiceEndpoints::default(),
            (_, None) => self.written(service),
        }
    }

    /// Instances that EndpointSlices tell.
    fn told(&self, service: &Service, slices: &[Slice<'_>]) -> ServiceEndpoints {
        let mut found = ServiceEndpoints::default();
        for (resource, slice) in slices {
            for endpoint in &slice.endpoints {
                let Some(workload) = self.behind(resource, endpoint) else {
                    continue;
                };
                for port in carried(service) {
                    let told = slice.ports.iter().find(|p| p.name == port.port.name);
                    let Some(number) = told.and_then(|told| told.port) else {
                        continue;
                    };
                    found
                        .ports
                        .entry(port.port.number)
                        .or_default()
                        .push(Endpoint {
                            address: workload.addresses[0].clone(),
                            workload: workload.clone(),
                            port: number,
                            is_ready: service.publish_not_ready
                                || endpoint.conditions.ready.unwrap_or(true),
                        });
                }
            }
        }
        found
    }

    /// The workload at an endpoint of a slice; at least its address.
    fn behind(&self, resource: &Resource, endpoint: &SliceEndpoint) -> Option<Arc<Workload>> {
        let text = endpoint.addresses.first()?;
        let address = match text.parse() {
            Ok(ip) => WorkloadAddress::Ip(ip),
            Err(_) => WorkloadAddress::Dns((&**text).into()),
        };
        let key = (resource.reference.namespace.clone(), address.clone());
        let known = self.by_address.get(&key);
        let mut workload = match known {
            Some(workload) => Workload::clone(workload),
            None => Workload::of_address(resource, address.clone()),
        };
        workload.addresses = vec![address];
        Some(Arc::new(workload))
    }

    /// Instances that are written into a ServiceEntry, or its host itself where DNS resolves it.
    fn written(&self, service: &Service) -> ServiceEndpoints {
        let Some(resource) = self.set.resource(&service.reference) else {
            return ServiceEndpoints::default();
        };
        let Spec::ServiceEntry(entry) = &resource.spec else {
            return ServiceEndpoints::default();
        };
        let by_dns = matches!(
            service.resolution,
            Resolution::Dns | Resolution::DnsRoundRobin
        );
        if entry.endpoints.is_empty() && by_dns {
            let address = WorkloadAddress::Dns(service.host.as_str().into());
            let itself = Arc::new(Workload::of_address(resource, address));
            return spread(service, [&itself], |_, _| None);
        }
        let endpoints = entry.endpoints.iter();
        let workloads: Vec<_> = endpoints
            .filter_map(|endpoint| Workload::of_entry(resource, endpoint, self.defaults))
            .map(Arc::new)
            .collect();
        spread(service, &workloads, |workload, port| {
            workload.ports.get(port).copied()
        })
    }
}

/// Every workload at every port of the service. `by_name` may move a port by the service's name
/// for it.
fn spread<'a>(
    service: &Service,
    workloads: impl IntoIterator<Item = &'a Arc<Workload>>,
    by_name: impl Fn(&Workload, &str) -> Option<u16>,
) -> ServiceEndpoints {
    let mut found = ServiceEndpoints::default();
    for workload in workloads {
        for port in carried(service) {
            let moved = by_name(workload, &port.port.name);
            let moved = moved.or_else(|| match (&*workload.reference.kind, &port.target) {
                // A WorkloadEntry maps the service's port names to its own numbers.
                ("WorkloadEntry", PortName::Number(_)) => {
                    workload.ports.get(&port.port.name).copied()
                }
                _ => None,
            });
            let Some(number) = moved.or_else(|| workload.port(&port.target)) else {
                continue;
            };
            found
                .ports
                .entry(port.port.number)
                .or_default()
                .push(Endpoint {
                    workload: workload.clone(),
                    address: workload.addresses[0].clone(),
                    port: number,
                    is_ready: workload.is_ready || service.publish_not_ready,
                });
        }
    }
    found
}

/// The ports the mesh carries: datagrams are not.
fn carried(service: &Service) -> impl Iterator<Item = &ServicePort> {
    let ports = service.ports.iter();
    ports.filter(|port| port.port.protocol != AppProtocol::Udp)
}

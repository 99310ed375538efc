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
    workloads: Arc<Vec<Arc<Workload>>>,
    namespaces: Arc<BTreeMap<Arc<str>, Arc<Instances>>>,
}

/// The instances of one namespace: no service has instances in another.
#[derive(Debug, Default, PartialEq)]
struct Instances {
    told: Told,
    workloads: Vec<Arc<Workload>>,
    by_name: HashMap<Arc<str>, Arc<Workload>>,
    services: HashMap<Host, Arc<ServiceEndpoints>>,
}

/// Everything that instances of a namespace are found from: as long as it stays, so do they.
#[derive(Debug, Default, PartialEq)]
struct Told {
    defaults: Arc<MeshDefaults>,
    resources: Vec<Arc<Resource>>,
    services: Vec<Arc<Service>>,
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
        let mut told: BTreeMap<Arc<str>, Told> = BTreeMap::new();
        for resource in set.iter().filter(|resource| tells_instances(resource)) {
            let namespace = resource.reference.namespace.clone();
            let told = told.entry(namespace).or_default();
            told.resources.push(resource.clone());
        }
        for service in services {
            let told = told.entry(service.namespace.clone()).or_default();
            told.services.push(service.clone());
        }
        let known = before.namespaces.values().next();
        let defaults = match known.map(|known| &known.told.defaults) {
            Some(known) if **known == *defaults => known.clone(),
            _ => Arc::new(defaults.clone()),
        };
        let namespaces = told.into_iter().map(|(namespace, told)| {
            let told = Told {
                defaults: defaults.clone(),
                ..told
            };
            let instances = match before.namespaces.get(&namespace) {
                Some(old) if old.told.is_same(&told) => old.clone(),
                old => Arc::new(Instances::find(told, old.map(|old| &**old))),
            };
            (namespace, instances)
        });
        let namespaces: BTreeMap<_, _> = namespaces.collect();
        let all = namespaces.values().flat_map(|found| &found.workloads);
        Self {
            workloads: Arc::new(all.cloned().collect()),
            namespaces: Arc::new(namespaces),
        }
    }

    /// The instances of these services alone, without what else runs.
    pub(super) fn only<'a>(&self, services: impl IntoIterator<Item = &'a Arc<Service>>) -> Self {
        let mut namespaces: BTreeMap<Arc<str>, Instances> = BTreeMap::new();
        for service in services {
            if let Some(endpoints) = self.service(service) {
                let instances = namespaces.entry(service.namespace.clone()).or_default();
                let host = service.host.clone();
                instances.services.insert(host, endpoints.clone());
            }
        }
        let shared = namespaces
            .into_iter()
            .map(|(name, found)| (name, Arc::new(found)));
        Self {
            workloads: Arc::default(),
            namespaces: Arc::new(shared.collect()),
        }
    }

    /// What runs in a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> Self {
        let found = self.namespaces.get_key_value(namespace);
        let workloads = found.map(|(_, found)| found.workloads.clone());
        let found = found.map(|(name, found)| (name.clone(), found.clone()));
        Self {
            workloads: Arc::new(workloads.unwrap_or_default()),
            namespaces: Arc::new(found.into_iter().collect()),
        }
    }

    /// Whether this is the very same version.
    pub(super) fn is_version_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.namespaces, &other.namespaces)
    }

    /// Whether both hold the same instances, not only equal ones.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.namespaces, &other.namespaces)
            || self.namespaces.len() == other.namespaces.len()
                && (self.namespaces.iter().zip(&*other.namespaces))
                    .all(|((a, x), (b, y))| a == b && (Arc::ptr_eq(x, y) || x.is_same(y)))
    }

    /// Every workload, pods and WorkloadEntries, by namespace and name.
    pub fn workloads(&self) -> &[Arc<Workload>] {
        &self.workloads
    }

    /// The workload of this name.
    pub fn workload(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.namespaces.get(namespace)?.by_name.get(name)
    }

    /// The instances of a service. The same `Arc` as before as long as nothing changed.
    pub fn service(&self, service: &Service) -> Option<&Arc<ServiceEndpoints>> {
        let instances = self.namespaces.get(&service.namespace)?;
        instances.services.get(&service.host)
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
    /// Where instances are called, at any port.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &WorkloadAddress> {
        let all = self.ports.values().flatten();
        all.map(|endpoint| &endpoint.address)
    }

    /// The instances of a port.
    pub fn of(&self, port: u16) -> &[Endpoint] {
        self.ports.get(&port).map_or(&[][..], Vec::as_slice)
    }
}

impl Told {
    fn is_same(&self, other: &Self) -> bool {
        self.defaults == other.defaults
            && same_places(&self.resources, &other.resources)
            && same_places(&self.services, &other.services)
    }
}

/// Whether two lists hold the same values, not only equal ones.
pub(super) fn same_places<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl Instances {
    fn is_same(&self, other: &Self) -> bool {
        same_places(&self.workloads, &other.workloads)
            && self.services.len() == other.services.len()
            && self.services.iter().all(|(host, endpoints)| {
                let other = other.services.get(host);
                other.is_some_and(|other| Arc::ptr_eq(endpoints, other))
            })
    }

    fn find(told: Told, before: Option<&Self>) -> Self {
        let finder = Finder::new(&told.resources, &told.defaults);
        let mut services = HashMap::with_capacity(told.services.len());
        for service in &told.services {
            let endpoints = finder.endpoints(service);
            // An equal value is kept, so that whoever holds it can tell that nothing changed.
            let known = before.and_then(|before| before.services.get(&service.host));
            let endpoints = match known {
                Some(old) if **old == endpoints => old.clone(),
                _ => Arc::new(endpoints),
            };
            services.insert(service.host.clone(), endpoints);
        }
        let workloads = finder.workloads;
        let mut by_name = HashMap::with_capacity(workloads.len());
        for workload in &workloads {
            let name = workload.name.clone();
            by_name.entry(name).or_insert_with(|| workload.clone());
        }
        Self {
            told,
            workloads,
            by_name,
            services,
        }
    }
}

/// Whether a resource tells of instances.
fn tells_instances(resource: &Resource) -> bool {
    matches!(
        resource.spec,
        Spec::Pod(_) | Spec::WorkloadEntry(_) | Spec::EndpointSlice(_) | Spec::ServiceEntry(_)
    )
}

/// What runs in a namespace, sorted for the search.
struct Finder<'a> {
    resources: &'a [Arc<Resource>],
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
    fn new(resources: &'a [Arc<Resource>], defaults: &'a MeshDefaults) -> Self {
        let mut finder = Self {
            resources,
            defaults,
            workloads: Vec::new(),
            by_address: HashMap::new(),
            by_label: HashMap::new(),
            slices: BTreeMap::new(),
        };
        for resource in resources {
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
        // They come in the set's order, which is that of their names.
        let reference = |resource: &Arc<Resource>| resource.reference.cmp(&service.reference);
        let place = self.resources.binary_search_by(reference);
        let Ok(resource) = place.map(|place| &self.resources[place]) else {
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

//! From the written form to the resolved one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    DestinationPolicy, EndpointIndex, GatewayName, Mesh, MeshDefaults, Rules, Service,
    TrafficRules,
    analysis::check,
    gateway_api::{self, Piece, World},
    meaning::{Meaning, Meanings},
    proxy_settings,
    traffic::{Delegate, Draft},
    virtual_address,
};
use crate::{
    config::{ConfigSet, Problem, Resource, Spec},
    name::{Host, ResourceRef},
};

impl Mesh {
    /// Works out what everything written means together.
    ///
    /// Never fails as a whole: a resource that cannot be meant is left out and reported, a
    /// reference that leads nowhere stays and is reported, as the request that meets it will
    /// find a 503.
    pub fn resolve(set: &ConfigSet, defaults: &MeshDefaults) -> (Arc<Self>, Vec<Problem>) {
        Self::resolve_after(None, set, defaults)
    }

    /// The same for the next version: the same mesh as [`Mesh::resolve`] makes, for the work of
    /// what changed. What is the same in both versions is one value, in one place.
    pub fn next(&self, set: &ConfigSet, defaults: &MeshDefaults) -> (Arc<Self>, Vec<Problem>) {
        Self::resolve_after(Some(self), set, defaults)
    }

    fn resolve_after(
        before: Option<&Self>,
        set: &ConfigSet,
        defaults: &MeshDefaults,
    ) -> (Arc<Self>, Vec<Problem>) {
        let (defaults, mut problems) = defaults.overlaid(set);
        let mut services = Vec::new();
        let mut drafts = Vec::new();
        let mut pieces = Vec::new();
        let mut rules = Rules {
            meanings: Meanings::under(&defaults),
            defaults,
            ..Rules::default()
        };
        let old = before.map(|before| &*before.rules);
        let instances = set.iter().map(|resource| &**resource);
        problems.extend(instances.filter_map(proxy_settings::own_settings));
        for resource in oldest_first(set) {
            let meanings = old.map(|old| &old.meanings);
            let (meaning, found) = rules.meanings.of(resource, meanings);
            problems.extend(found);
            match meaning {
                Some(Meaning::Services(more)) => services.extend(more),
                Some(Meaning::Traffic(draft)) => drafts.push((&**resource, draft)),
                Some(Meaning::Destination(policy)) => rules.destinations.push(policy),
                Some(Meaning::Gateway(gateway)) => rules.gateways.push(gateway),
                Some(Meaning::Mtls(policy)) => rules.mtls.push(policy),
                Some(Meaning::Tokens(policy)) => rules.tokens.push(policy),
                Some(Meaning::Access(policy)) => rules.access.push(policy),
                Some(Meaning::Scope(scope)) => rules.scopes.push(scope),
                Some(Meaning::Telemetry(policy)) => rules.telemetry.push(policy),
                Some(Meaning::RateLimit(policy)) => rules.limits.push(policy),
                Some(Meaning::Test(test)) => rules.tests.push(test),
                Some(Meaning::GatewayApi(route)) => pieces.push(Piece {
                    resource: resource.clone(),
                    route,
                }),
                None => {}
            }
            if let Spec::Secret(_) = resource.spec {
                let reference = &resource.reference;
                let key = (reference.namespace.clone(), reference.name.clone());
                rules.secrets.insert(key, resource.clone());
            }
            rules.written.push(resource.clone());
        }
        problems.extend(rules.put_traffic(drafts));
        rules.services = settle(services, &rules.defaults, &mut problems);
        problems.extend(rules.attach(&pieces));
        if let Some(old) = old {
            rules.keep(old);
        }
        rules.index();
        problems.extend(check(&rules, set));
        let none = EndpointIndex::default();
        let known = before.map_or(&none, |before| &before.endpoints);
        let endpoints = EndpointIndex::resolve(set, &rules.services, &rules.defaults, known);
        let mesh = Self {
            version: set.version(),
            rules: Arc::new(rules),
            endpoints,
        };
        (Arc::new(mesh), problems)
    }

    /// The fast lane: the next version, if only instances changed (pods, WorkloadEntries,
    /// EndpointSlices). It shares every rule with this one. None if rules changed too.
    pub fn with_instances(&self, set: &ConfigSet) -> Option<Arc<Self>> {
        let rules = &self.rules;
        let mut written = oldest_first(set).into_iter();
        let mut known = rules.written.iter();
        let same = known
            .by_ref()
            .all(|old| written.next().is_some_and(|new| Arc::ptr_eq(old, new)));
        if !same || written.next().is_some() {
            return None;
        }
        let (services, defaults) = (&rules.services, &rules.defaults);
        Some(Arc::new(Self {
            version: set.version(),
            rules: rules.clone(),
            endpoints: EndpointIndex::resolve(set, services, defaults, &self.endpoints),
        }))
    }
}

impl Rules {
    /// Takes the values of the version before that are equal, so that those who look can tell by
    /// their place that nothing changed.
    fn keep(&mut self, old: &Self) {
        fn keep<T: PartialEq>(new: &mut Arc<T>, old: Option<&Arc<T>>) {
            if let Some(old) = old.filter(|old| **old == *new) {
                new.clone_from(old);
            }
        }
        for service in &mut self.services {
            keep(service, old.declared(service));
        }
        let by_name: HashMap<_, _> = old
            .traffic
            .iter()
            .map(|rules| (place_of(rules), rules))
            .collect();
        for rules in &mut self.traffic {
            keep(rules, by_name.get(&place_of(rules)).copied());
        }
        for gateway in &mut self.gateways {
            let mut same = old.gateways.iter();
            keep(gateway, same.find(|old| old.name == gateway.name));
        }
    }

    /// The service that is declared by the same resource.
    fn declared(&self, service: &Service) -> Option<&Arc<Service>> {
        let mut same = self.services_by_host.get(&service.host)?.iter();
        same.find(|known| known.reference == service.reference)
    }

    /// Lets routes of the Gateway API meet what they are attached to. Their rules take their place
    /// among the others by age.
    fn attach(&mut self, pieces: &[Piece]) -> Vec<Problem> {
        if pieces.is_empty() {
            return Vec::new();
        }
        let world = World::new(pieces, &self.services, &self.written, &self.defaults);
        let attached = gateway_api::attach(world);
        let written = self.written.iter().enumerate();
        let age: HashMap<_, _> = written
            .map(|(age, resource)| (resource.reference.clone(), age))
            .collect();
        self.traffic.extend(attached.traffic);
        self.traffic.sort_by_key(|rules| age.get(&rules.reference));
        self.gateways.extend(attached.gateways);
        self.gateways
            .sort_by_key(|gateway| age.get(&gateway.reference));
        self.backend_tls = attached.backend_tls;
        self.statuses = attached.statuses;
        attached.problems
    }

    /// Joins the rules of delegates to those that delegate to them.
    fn put_traffic(&mut self, drafts: Vec<(&Resource, Draft)>) -> Vec<Problem> {
        let (delegates, roots): (Vec<_>, Vec<_>) = drafts
            .into_iter()
            .partition(|(_, draft)| draft.is_delegate());
        let by_name: HashMap<_, _> = delegates
            .iter()
            .filter_map(|(resource, draft)| {
                let Spec::VirtualService(written) = &resource.spec else {
                    return None;
                };
                let rules = &draft.rules;
                let name = (&*rules.reference.namespace, &*rules.reference.name);
                let delegate = Delegate {
                    resource,
                    written,
                    rules,
                };
                Some((name, delegate))
            })
            .collect();
        let mut problems = Vec::new();
        for (resource, draft) in roots {
            let find = |namespace: &str, name: &str| by_name.get(&(namespace, name)).copied();
            let (traffic, found) = draft.complete(resource, &self.defaults, find);
            self.traffic.push(traffic);
            problems.extend(found);
        }
        let delegates = delegates.into_iter().map(|(_, draft)| draft.rules);
        self.delegates = delegates.collect();
        problems
    }

    pub(super) fn index(&mut self) {
        self.asked_of_callers = self.labels_of_callers();
        self.headless = self.headless();
        self.places_of_callers = self.labels_of_places();
        for service in &self.services {
            let same = self
                .services_by_host
                .entry(service.host.clone())
                .or_default();
            same.push(service.clone());
        }
        for traffic in &self.traffic {
            for host in &traffic.hosts {
                let rules = match host.is_wildcard() {
                    true => self.traffic_by_wildcard.entry(host.clone()).or_default(),
                    false => self.traffic_by_host.entry(host.clone()).or_default(),
                };
                if !rules.iter().any(|known| Arc::ptr_eq(known, traffic)) {
                    rules.push(traffic.clone());
                }
            }
        }
        self.destinations_by_namespace = self.merged_destinations();
    }

    /// Rules on how services are called, by namespace. Those of one namespace for the same host,
    /// callers and readers are one, the oldest giving its name.
    fn merged_destinations(&self) -> Grouped<Arc<str>, DestinationPolicy> {
        let mut merged: Grouped<Arc<str>, DestinationPolicy> = BTreeMap::new();
        for policy in &self.destinations {
            let namespace = policy.reference.namespace.clone();
            let rules = merged.entry(namespace).or_default();
            match rules.iter_mut().find(|older| older.joins(policy)) {
                Some(older) => Arc::make_mut(older).merge(policy),
                None => rules.push(policy.clone()),
            }
        }
        merged
    }
}

/// What tells rules from others: several may come from one resource.
fn place_of(rules: &TrafficRules) -> (&ResourceRef, Option<&Host>, Option<&GatewayName>) {
    let (host, gateway) = (rules.hosts.first(), rules.gateways.first());
    (&rules.reference, host, gateway)
}

/// Resources that carry rules, in the order in which they win over each other.
fn oldest_first(set: &ConfigSet) -> Vec<&Arc<Resource>> {
    let mut resources: Vec<_> = set.iter().filter(|r| !is_instance(r)).collect();
    resources.sort_by(|a, b| a.age().cmp(&b.age()));
    resources
}

/// Whether a resource tells only which instances run, or nothing to the mesh.
fn is_instance(resource: &Resource) -> bool {
    matches!(
        resource.spec,
        Spec::Pod(_)
            | Spec::WorkloadEntry(_)
            | Spec::WorkloadGroup(_)
            | Spec::EndpointSlice(_)
            | Spec::Deployment(_)
            | Spec::ServiceAccount
    )
}

/// Drops services declared twice in a namespace and gives addresses to the others.
fn settle(
    declared: Vec<Service>,
    defaults: &MeshDefaults,
    problems: &mut Vec<Problem>,
) -> Vec<Arc<Service>> {
    let mut first: HashMap<(Arc<str>, Host), usize> = HashMap::new();
    let mut services: Vec<Service> = Vec::with_capacity(declared.len());
    for service in declared {
        let key = (service.namespace.clone(), service.host.clone());
        if let Some(older) = first.get(&key).map(|index| &services[*index]) {
            problems.push(
                Problem::new(
                    crate::config::Severity::Warning,
                    service.source.clone(),
                    format!("{} already declares {}", older.reference, service.host),
                )
                .of(service.reference.clone())
                .advise("the older one wins"),
            );
            continue;
        }
        first.insert(key, services.len());
        services.push(service);
    }
    if let Some(range) = defaults.virtual_addresses {
        virtual_address::allocate(&mut services, range);
    }
    services.into_iter().map(Arc::new).collect()
}

/// Keyed by namespace or host; small enough to be walked.
pub(super) type Grouped<K, T> = BTreeMap<K, Vec<Arc<T>>>;

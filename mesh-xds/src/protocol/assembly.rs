use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mesh_core::dataplane::{
    Cluster, ClusterChoice, EndpointSet, Listener, Name, Refusal, ResourceType, RouteAction,
    RouteSource, RouteTable, Secret, SecretSource, Snapshot, Terminal, UpstreamTls,
};

use super::message::ServerMessage;
use crate::codec::{self, Resource};

/// How long a plan waits for endpoints, routes and secrets that were asked for, as Envoy does.
pub const RESOURCE_WAIT: Duration = Duration::from_secs(15);
/// How long a plan waits for clusters that routes name. Servers send clusters first, so a cluster
/// that is not there yet will most likely never be: requests for it get a 503 that says so.
pub const REFERENCE_WAIT: Duration = Duration::from_millis(500);

/// Joins resources, as they arrive, to snapshots that are whole and consistent.
///
/// A bad resource leaves the last good one of its name in place; a resource that did not change
/// keeps its `Arc`.
#[derive(Debug, Default)]
pub struct Assembly {
    clusters: BTreeMap<Name, Held<Cluster>>,
    listeners: BTreeMap<Name, Held<Listener>>,
    listener_order: Vec<Name>,
    endpoints: BTreeMap<Name, Held<EndpointSet>>,
    routes: BTreeMap<Name, Held<RouteTable>>,
    secrets: BTreeMap<Name, Held<Secret>>,
    own_secrets: BTreeSet<Name>,
    heard_clusters: bool,
    heard_listeners: bool,
    refused: BTreeMap<(ResourceType, Name), String>,
    awaited: BTreeMap<(ResourceType, Name), Awaited>,
    updates: u64,
}

#[derive(Debug)]
struct Held<T> {
    value: Arc<T>,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy)]
struct Awaited {
    since: Instant,
    given_up: bool,
}

/// Whether a snapshot can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// Yes.
    Whole,
    /// Not before something arrives.
    Silent,
    /// Not before something arrives or this time has come.
    Until(Instant),
}

impl Assembly {
    /// An empty assembly that never asks for these secrets: they are the workload's own, and come
    /// from its certificate authority.
    pub fn new(own_secrets: impl IntoIterator<Item = Name>) -> Self {
        Self {
            own_secrets: own_secrets.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Takes a response in and returns the names of its resources, the bad ones included.
    pub(super) fn take(&mut self, message: &ServerMessage) -> Vec<Name> {
        let resource_type = message.resource_type;
        let mut names = Vec::with_capacity(message.resources.len());
        for bytes in &message.resources {
            names.push(self.take_resource(resource_type, bytes));
        }
        // Clusters and listeners come complete: what is left out is gone. Refused ones stay.
        let listed: BTreeSet<&Name> = names.iter().collect();
        match resource_type {
            ResourceType::Cluster => {
                self.heard_clusters = true;
                self.clusters.retain(|name, _| listed.contains(name));
            }
            ResourceType::Listener => {
                self.heard_listeners = true;
                self.listeners.retain(|name, _| listed.contains(name));
                self.listener_order.clone_from(&names);
            }
            ResourceType::Endpoints | ResourceType::Routes | ResourceType::Secret => {}
        }
        if matches!(
            resource_type,
            ResourceType::Cluster | ResourceType::Listener
        ) {
            self.refused
                .retain(|(kind, name), _| *kind != resource_type || listed.contains(name));
        }
        names
    }

    /// The endpoints, routes or secrets that what is here refers to.
    pub fn wanted(&self, resource_type: ResourceType) -> BTreeSet<Name> {
        match resource_type {
            ResourceType::Endpoints => self
                .clusters
                .values()
                .filter_map(|held| held.value.endpoints_name().cloned())
                .collect(),
            ResourceType::Routes => self
                .listeners
                .values()
                .flat_map(|held| held.value.route_names().cloned())
                .collect(),
            ResourceType::Secret => self.wanted_secrets(),
            ResourceType::Cluster | ResourceType::Listener => BTreeSet::new(),
        }
    }

    /// What is wrong with a resource as it arrived last, if it is not used.
    pub fn refusal(&self, resource_type: ResourceType, name: &Name) -> Option<&str> {
        self.refused
            .get(&(resource_type, name.clone()))
            .map(String::as_str)
    }

    /// Every resource that is not used as it arrived last.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> {
        self.refused
            .iter()
            .map(|((resource_type, name), reason)| Refusal {
                resource_type: *resource_type,
                name: name.clone(),
                reason: reason.clone(),
            })
    }

    /// Whether a snapshot can be made now. Waits for every name once, and within bounds.
    pub(super) fn completeness(&mut self, now: Instant) -> Completeness {
        if !(self.heard_clusters && self.heard_listeners) {
            return Completeness::Silent;
        }
        let missing = self.missing();
        self.awaited.retain(|key, _| missing.contains(key));
        let mut until: Option<Instant> = None;
        for key in missing {
            let wait = match key.0 {
                ResourceType::Cluster => REFERENCE_WAIT,
                _ => RESOURCE_WAIT,
            };
            let awaited = self.awaited.entry(key).or_insert(Awaited {
                since: now,
                given_up: false,
            });
            let end = awaited.since + wait;
            awaited.given_up |= now >= end;
            if !awaited.given_up {
                until = Some(until.map_or(end, |first| first.min(end)));
            }
        }
        until.map_or(Completeness::Whole, Completeness::Until)
    }

    /// What is here, as one plan.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        fn wanted<T>(
            lane: &BTreeMap<Name, Held<T>>,
            wanted: &BTreeSet<Name>,
        ) -> BTreeMap<Name, Arc<T>> {
            lane.iter()
                .filter(|(name, _)| wanted.contains(*name))
                .map(|(name, held)| (name.clone(), held.value.clone()))
                .collect()
        }
        use ResourceType::{Endpoints, Routes, Secret};
        self.updates += 1;
        Snapshot {
            version: self.updates.to_string().into(),
            listeners: self
                .listener_order
                .iter()
                .filter_map(|name| Some(self.listeners.get(name)?.value.clone()))
                .collect(),
            routes: wanted(&self.routes, &self.wanted(Routes)),
            clusters: self
                .clusters
                .iter()
                .map(|(name, held)| (name.clone(), held.value.clone()))
                .collect(),
            endpoints: wanted(&self.endpoints, &self.wanted(Endpoints)),
            secrets: wanted(&self.secrets, &self.wanted(Secret)),
        }
    }

    fn take_resource(&mut self, resource_type: ResourceType, bytes: &Bytes) -> Name {
        let decoded = match codec::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                let name = Name::from("");
                self.refused
                    .insert((resource_type, name.clone()), error.to_string());
                return name;
            }
        };
        let name = decoded.resource.name().clone();
        let key = (resource_type, name.clone());
        if decoded.resource.resource_type() != resource_type {
            let reason = format!("is a {}", decoded.resource.resource_type());
            self.refused.insert(key, reason);
            return name;
        }
        if !decoded.is_accepted() {
            let reasons: Vec<String> = decoded.refusals().map(ToString::to_string).collect();
            self.refused.insert(key, reasons.join("; "));
            return name;
        }
        self.refused.remove(&key);
        match decoded.resource {
            Resource::Cluster(value) => hold(&mut self.clusters, &name, value, bytes),
            Resource::Endpoints(value) => hold(&mut self.endpoints, &name, value, bytes),
            Resource::Listener(value) => hold(&mut self.listeners, &name, value, bytes),
            Resource::Routes(value) => hold(&mut self.routes, &name, value, bytes),
            Resource::Secret(value) => hold(&mut self.secrets, &name, value, bytes),
        }
        name
    }

    /// Forgets endpoints, routes and secrets that nothing refers to any more. Not before a plan was
    /// answered: what is given up and wanted again in one go is not sent again.
    pub(super) fn drop_unwanted(&mut self) {
        let endpoints = self.wanted(ResourceType::Endpoints);
        let routes = self.wanted(ResourceType::Routes);
        let secrets = self.wanted(ResourceType::Secret);
        self.endpoints.retain(|name, _| endpoints.contains(name));
        self.routes.retain(|name, _| routes.contains(name));
        self.secrets.retain(|name, _| secrets.contains(name));
        self.refused
            .retain(|(resource_type, name), _| match resource_type {
                ResourceType::Endpoints => endpoints.contains(name),
                ResourceType::Routes => routes.contains(name),
                ResourceType::Secret => secrets.contains(name),
                ResourceType::Cluster | ResourceType::Listener => true,
            });
    }

    fn missing(&self) -> BTreeSet<(ResourceType, Name)> {
        fn absent<'a, T>(
            resource_type: ResourceType,
            wanted: BTreeSet<Name>,
            lane: &'a BTreeMap<Name, Held<T>>,
        ) -> impl Iterator<Item = (ResourceType, Name)> + 'a {
            wanted
                .into_iter()
                .filter(move |name| !lane.contains_key(name))
                .map(move |name| (resource_type, name))
        }
        use ResourceType::{Cluster, Endpoints, Routes, Secret};
        absent(Endpoints, self.wanted(Endpoints), &self.endpoints)
            .chain(absent(Routes, self.wanted(Routes), &self.routes))
            .chain(absent(Secret, self.wanted(Secret), &self.secrets))
            .chain(absent(Cluster, self.named_clusters(), &self.clusters))
            .collect()
    }

    fn wanted_secrets(&self) -> BTreeSet<Name> {
        let mut wanted = BTreeSet::new();
        let mut source = |source: &SecretSource| {
            if let SecretSource::Named(name) = source
                && !self.own_secrets.contains(name)
            {
                wanted.insert(name.clone());
            }
        };
        for held in self.clusters.values() {
            let settings = match &held.value.tls {
                UpstreamTls::Off => Vec::new(),
                UpstreamTls::Always(tls) => vec![tls],
                UpstreamTls::ByEndpoint(entries) => entries
                    .iter()
                    .filter_map(|entry| entry.tls.as_ref())
                    .collect(),
            };
            for tls in settings {
                tls.certificates.iter().for_each(&mut source);
                tls.validation.iter().for_each(|peer| source(&peer.roots));
            }
        }
        for held in self.listeners.values() {
            for tls in held.value.chains().filter_map(|chain| chain.tls.as_ref()) {
                tls.certificates.iter().for_each(&mut source);
                tls.validation.iter().for_each(|peer| source(&peer.roots));
            }
        }
        wanted
    }

    /// The clusters that routes and chains in use name.
    fn named_clusters(&self) -> BTreeSet<Name> {
        let mut named = BTreeSet::new();
        for chain in self.listeners.values().flat_map(|held| held.value.chains()) {
            match &chain.terminal {
                Terminal::Tcp(tcp) => {
                    named.extend(tcp.clusters.iter().map(|cluster| cluster.name.clone()));
                }
                Terminal::Http(http) => {
                    if let RouteSource::Inline(table) = &http.routes {
                        name_clusters(table, &mut named);
                    }
                }
            }
        }
        let routes = self.wanted(ResourceType::Routes);
        for held in routes.iter().filter_map(|name| self.routes.get(name)) {
            name_clusters(&held.value, &mut named);
        }
        named
    }
}

fn name_clusters(table: &RouteTable, named: &mut BTreeSet<Name>) {
    for route in table.virtual_hosts.iter().flat_map(|host| &host.routes) {
        let RouteAction::Forward(forward) = &route.action else {
            continue;
        };
        match &forward.cluster {
            ClusterChoice::Single(name) => drop(named.insert(name.clone())),
            ClusterChoice::Weighted(clusters) => {
                named.extend(clusters.iter().map(|cluster| cluster.name.clone()));
            }
            ClusterChoice::Header(_) => {}
        }
        named.extend(forward.mirrors.iter().map(|mirror| mirror.cluster.clone()));
    }
}

/// Equal values keep the old `Arc`, whatever their bytes: maps have no order on the wire.
fn hold<T: PartialEq>(
    lane: &mut BTreeMap<Name, Held<T>>,
    name: &Name,
    value: Arc<T>,
    bytes: &Bytes,
) {
    let bytes = bytes.clone();
    match lane.get_mut(name) {
        Some(held) if held.bytes == bytes => {}
        Some(held) if *held.value == *value => held.bytes = bytes,
        Some(held) => *held = Held { value, bytes },
        None => drop(lane.insert(name.clone(), Held { value, bytes })),
    }
}

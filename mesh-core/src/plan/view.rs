use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{PlanOptions, names, policy, telemetry::Recording};
use crate::{
    dataplane::{HashPolicy, Name, Node, NodeKind},
    mesh::{
        CallPolicy, CallSide, Client, ConnectionPool, Destination, DestinationPolicy,
        EgressListener, IngressListener, Mesh, OutboundMode, Resolution, RetryPolicy, Service,
        ServicePort, TrafficRules,
    },
    name::{AppProtocol, Host},
};

/// The mesh as one proxy sees it.
pub(super) struct View<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) node: &'a Node,
    pub(super) options: &'a PlanOptions<'a>,
    /// What becomes of calls to hosts nobody declared.
    pub(super) outbound: OutboundMode,
    /// Where such calls go instead of there.
    pub(super) egress_proxy: Option<Destination>,
    /// The listeners for what it calls; none for one that takes everything.
    pub(super) egress: Option<Arc<[EgressListener]>>,
    /// The ports it is called at; none for those that services declare.
    pub(super) ingress: Option<Arc<[IngressListener]>>,
    /// The most its application is given at once, where a port does not say otherwise.
    pub(super) inbound_pool: Option<ConnectionPool>,
    /// What is recorded of what it calls.
    pub(super) as_client: Arc<Recording>,
    /// What is recorded of what calls it.
    pub(super) as_server: Arc<Recording>,
    /// The services it calls by name or address, by host.
    services: Vec<&'a Arc<Service>>,
    /// All that its calls may be led to, by host: rules may lead to services it does not call.
    called: Vec<&'a Arc<Service>>,
    /// Services that are only other names, by the host they stand for.
    aliases: BTreeMap<&'a Host, Vec<&'a Service>>,
}

impl<'a> View<'a> {
    pub(super) fn new(mesh: &'a Mesh, node: &'a Node, options: &'a PlanOptions<'a>) -> Self {
        let scope = mesh.scope(&node.namespace, &node.labels);
        // A Sidecar is about workloads: an edge sees everything that is exported to it.
        let limited = node.kind == NodeKind::Sidecar;
        let visible = mesh.services_visible_to(&node.namespace);
        let services = visible.filter(|service| !limited || scope.sees(service));
        let mut view = Self::of(mesh, node, options, scope.outbound, services.collect());
        if limited {
            view.egress = scope.egress;
            view.ingress = scope.ingress;
            view.inbound_pool = scope.inbound_pool;
            view.egress_proxy = scope.egress_proxy;
            view.lead();
        }
        view
    }

    /// A part of the mesh that holds nothing but what the proxy sees.
    pub(super) fn of_everything(
        mesh: &'a Mesh,
        node: &'a Node,
        options: &'a PlanOptions<'a>,
    ) -> Self {
        let services = mesh.services().iter().collect();
        Self::of(mesh, node, options, mesh.defaults().outbound, services)
    }

    fn of(
        mesh: &'a Mesh,
        node: &'a Node,
        options: &'a PlanOptions<'a>,
        outbound: OutboundMode,
        mut services: Vec<&'a Arc<Service>>,
    ) -> Self {
        services.sort_by(|a, b| a.host.as_str().cmp(b.host.as_str()));
        Self {
            mesh,
            node,
            options,
            outbound,
            as_client: Recording::of(mesh, node, options, CallSide::Client).into(),
            as_server: Recording::of(mesh, node, options, CallSide::Server).into(),
            egress_proxy: None,
            egress: None,
            ingress: None,
            inbound_pool: None,
            aliases: aliases(&services),
            called: services.clone(),
            services,
        }
    }

    /// What one of its listeners sees.
    pub(super) fn through(&self, listener: &EgressListener) -> Self {
        let services = self.services.iter().copied();
        let services: Vec<_> = services.filter(|service| listener.sees(service)).collect();
        Self {
            as_client: self.as_client.clone(),
            as_server: self.as_server.clone(),
            egress_proxy: self.egress_proxy.clone(),
            egress: Some([listener.clone()].into()),
            ingress: None,
            inbound_pool: None,
            aliases: aliases(&services),
            called: self.called.clone(),
            services,
            ..*self
        }
    }

    /// Adds the services that rules lead calls to, though nobody calls them by name.
    fn lead(&mut self) {
        let Some(listeners) = self.egress.clone() else {
            return;
        };
        let mut hosts: BTreeSet<&str> = BTreeSet::new();
        let mut led = Vec::new();
        let mut lead = |host: &Host| {
            let service = self.mesh.service(host, &self.node.namespace);
            if let Some(service) = service.filter(|service| hosts.insert(service.host.as_str())) {
                led.push(service);
            }
        };
        let all = self.mesh.traffic_rules_for(self.sidecar());
        let followed = all.filter(|rules| {
            let mut hosts = rules.hosts.iter();
            hosts.any(|host| {
                listeners
                    .iter()
                    .any(|listener| listener.follows(rules, host))
            })
        });
        for rules in followed {
            rules.every_destination().for_each(|to| lead(&to.host));
        }
        if let Some(proxy) = &self.egress_proxy {
            lead(&proxy.host);
        }
        for service in led {
            let by_host = |known: &&Arc<Service>| known.host.as_str().cmp(service.host.as_str());
            if let Err(place) = self.called.binary_search_by(by_host) {
                self.called.insert(place, service);
            }
        }
    }

    /// All that its calls may be led to, by host.
    pub(super) fn called(&self) -> impl Iterator<Item = &'a Arc<Service>> {
        let all = self.called.iter().copied();
        all.filter(|service| !matches!(service.resolution, Resolution::Alias(_)))
    }

    /// The rules for calls to a host, in the order in which they win.
    pub(super) fn rules<'s>(
        &'s self,
        host: &'s Host,
    ) -> impl Iterator<Item = &'a TrafficRules> + 's {
        let candidates = self.mesh.candidate_rules(host, self.sidecar());
        candidates
            .map(|rules| &**rules)
            .filter(|rules| self.follows(rules, host))
    }

    /// Whether calls to a host follow these rules.
    pub(super) fn follows(&self, rules: &TrafficRules, host: &Host) -> bool {
        let listeners = self.egress.as_deref();
        listeners.is_none_or(|all| all.iter().any(|listener| listener.follows(rules, host)))
    }

    /// Whether it calls this host by name.
    pub(super) fn calls(&self, host: &Host) -> bool {
        find(&self.services, host).is_some()
    }

    /// The services it may call, by host. Other names for a service are not among them.
    pub(super) fn services(&self) -> impl Iterator<Item = &'a Arc<Service>> {
        let all = self.services.iter().copied();
        all.filter(|service| !matches!(service.resolution, Resolution::Alias(_)))
    }

    /// Their ports that the mesh carries.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&'a Arc<Service>, &'a ServicePort)> {
        self.services().flat_map(carried)
    }

    /// The ports of all that its calls may be led to.
    pub(super) fn called_ports(&self) -> impl Iterator<Item = (&'a Arc<Service>, &'a ServicePort)> {
        self.called().flat_map(carried)
    }

    /// Services that are only other names for this one.
    pub(super) fn aliases(&self, service: &Service) -> &[&'a Service] {
        self.aliases.get(&service.host).map_or(&[], Vec::as_slice)
    }

    /// The service of this host, if calls may be led to it.
    pub(super) fn service(&self, host: &Host) -> Option<&'a Arc<Service>> {
        find(&self.called, host)
    }

    /// The workload's own proxy as a client of rules.
    pub(super) fn sidecar(&self) -> Client<'a> {
        Client::Sidecar {
            namespace: &self.node.namespace,
            labels: &self.node.labels,
        }
    }

    /// The proxy's main address is of IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.node.addresses.first().is_some_and(IpAddr::is_ipv6)
    }

    /// What the mesh does with routes that do not say when to try again.
    pub(super) fn default_retries(&self) -> Option<&'a RetryPolicy> {
        self.mesh.defaults().retries.as_ref()
    }

    /// The rule in effect on how a service is called.
    pub(super) fn destination_policy(&self, service: &Service) -> Option<&'a DestinationPolicy> {
        let Node {
            namespace, labels, ..
        } = self.node;
        self.mesh
            .destination_policy(service, namespace, labels)
            .map(|policy| &**policy)
    }

    /// How a port of a service, or of a subset of it, is called.
    pub(super) fn call_policy(
        &self,
        service: &Service,
        port: u16,
        subset: Option<&str>,
    ) -> CallPolicy {
        let rule = self.destination_policy(service);
        let policy = rule.map(|rule| rule.policy(port, subset));
        let policy = policy.unwrap_or_default();
        let defaults = self.mesh.defaults();
        CallPolicy {
            pool: policy.pool.or_else(|| defaults.pool.clone()),
            outlier: policy.outlier.or_else(|| defaults.outlier.clone()),
            ..policy
        }
    }

    /// The cluster of a destination, for requests that came to `listener_port`. It may not exist:
    /// then the request is answered with a 503 that says so.
    pub(super) fn cluster_of(&self, destination: &Destination, listener_port: u16) -> Name {
        let port = self.port_of(destination, listener_port);
        let subset = destination.subset.as_deref().unwrap_or_default();
        names::outbound(port, subset, &destination.host)
    }

    /// What keeps requests for a destination on one instance.
    pub(super) fn hash_of(
        &self,
        destination: &Destination,
        listener_port: u16,
    ) -> Option<HashPolicy> {
        let policy = self.policy_of(destination, listener_port)?;
        policy::hash_policy(policy.balancing()?)
    }

    /// How a destination is called; none if there is no such service.
    pub(super) fn policy_of(
        &self,
        destination: &Destination,
        listener_port: u16,
    ) -> Option<CallPolicy> {
        let service = self.service(&destination.host)?;
        let port = self.port_of(destination, listener_port);
        Some(self.call_policy(service, port, destination.subset.as_deref()))
    }

    /// The port said, else the only one there is, else the one the request came to.
    fn port_of(&self, destination: &Destination, listener_port: u16) -> u16 {
        destination.port.unwrap_or_else(|| {
            match self
                .service(&destination.host)
                .map(|service| &*service.ports)
            {
                Some([only]) => only.port.number,
                _ => listener_port,
            }
        })
    }
}

fn carried(service: &Arc<Service>) -> impl Iterator<Item = (&Arc<Service>, &ServicePort)> {
    let carried = |port: &&ServicePort| port.port.protocol != AppProtocol::Udp;
    let ports = service.ports.iter().filter(carried);
    ports.map(move |port| (service, port))
}

fn find<'a>(services: &[&'a Arc<Service>], host: &Host) -> Option<&'a Arc<Service>> {
    let by_host = |service: &&Arc<Service>| service.host.as_str().cmp(host.as_str());
    let place = services.binary_search_by(by_host);
    place.ok().map(|place| services[place])
}

fn aliases<'a>(services: &[&'a Arc<Service>]) -> BTreeMap<&'a Host, Vec<&'a Service>> {
    let mut aliases: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for service in services {
        if let Resolution::Alias(host) = &service.resolution {
            aliases.entry(host).or_default().push(&***service);
        }
    }
    aliases
}

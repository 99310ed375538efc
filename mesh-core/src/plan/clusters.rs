//! Destinations: a cluster per port of every service, and one more per subset.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    between, endpoints, endpoints::Wanted, names, places, policy, secrets, security, view::View,
};
use crate::{
    config::{Problem, Severity},
    dataplane::{
        Balancing, Cluster, ClusterMetadata, Discovery, DnsDiscovery, EndpointSet, Name, NodeKind,
        Origin, OriginalDestination, SecretSource, ServiceRef, Snapshot, UpstreamProtocol,
        UpstreamTls,
    },
    mesh::{self, DestinationPolicy, Resolution, Service, ServicePort},
    name::Selector,
};

/// How long a connection to an address nobody declared may be idle.
const PASSTHROUGH_IDLE: Duration = Duration::from_secs(300);
/// The address inbound connections come from, so that capture leaves them alone.
const INBOUND_SOURCE: [u8; 4] = [127, 0, 0, 6];
const INBOUND_SOURCE_V6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 6];

/// Plans every outbound cluster the proxy may be asked for, with its instances.
pub(super) fn plan(view: &View<'_>, snapshot: &mut Snapshot, problems: &mut Vec<Problem>) {
    let crossed = between::is_crossed(view);
    for (service, port) in view.called_ports() {
        let rule = view.destination_policy(service);
        let whole = [("", None)];
        let subsets = rule.into_iter().flat_map(|rule| &rule.subsets);
        let subsets = subsets.map(|(name, subset)| (&**name, Some(&subset.labels)));
        for (subset, labels) in whole.into_iter().chain(subsets) {
            let destination = Destination {
                service,
                port,
                rule,
                subset,
                labels,
            };
            destination.plan(view, snapshot, problems);
            if crossed && between::is_reachable(view, service) {
                destination.plan_by_name(snapshot);
            }
        }
    }
}

/// Plans where calls to addresses nobody declared go.
pub(super) fn put_undeclared(view: &View<'_>, snapshot: &mut Snapshot) {
    put(snapshot, passthrough(view, names::PASSTHROUGH));
    put(snapshot, black_hole());
}

/// Where connections that arrived for a port of the workload itself go: on to it, as they are.
pub(super) fn inbound(view: &View<'_>, name: Name, services: Vec<ServiceRef>) -> Cluster {
    let bind_source: IpAddr = match view.is_ipv6() {
        true => INBOUND_SOURCE_V6.into(),
        false => INBOUND_SOURCE.into(),
    };
    Cluster {
        balancing: Balancing::Provided,
        bind_source: Some(bind_source),
        connect_timeout: view.mesh.defaults().connect_timeout,
        metadata: ClusterMetadata {
            services,
            ..ClusterMetadata::default()
        },
        ..Cluster::new(
            name,
            Discovery::OriginalDestination(OriginalDestination::default()),
        )
    }
}

pub(super) fn put(snapshot: &mut Snapshot, cluster: Cluster) {
    snapshot
        .clusters
        .insert(cluster.name.clone(), Arc::new(cluster));
}

pub(super) fn service_ref(service: &Service) -> ServiceRef {
    ServiceRef {
        host: service.host.as_str().into(),
        name: service.name.clone(),
        namespace: service.namespace.clone(),
    }
}

/// Whether the proxy chooses among the instances of a headless service. A captured connection
/// tells which instance is meant; behind an explicit proxy port and at an edge nothing does.
pub(super) fn knows_instances(view: &View<'_>, service: &Service) -> bool {
    match service.resolution {
        Resolution::Headless => {
            view.node.kind == NodeKind::Gateway || view.node.http_proxy_port.is_some()
        }
        Resolution::Passthrough | Resolution::Alias(_) => false,
        Resolution::Instances | Resolution::Dns | Resolution::DnsRoundRobin => true,
    }
}

fn passthrough(view: &View<'_>, name: &str) -> Cluster {
    let defaults = view.mesh.defaults();
    let mut cluster = Cluster {
        balancing: Balancing::Provided,
        protocol: UpstreamProtocol::UseDownstream,
        connect_timeout: defaults.connect_timeout,
        ..Cluster::new(
            name,
            Discovery::OriginalDestination(OriginalDestination::default()),
        )
    };
    policy::apply_pool(&mut cluster, defaults.pool.as_ref(), defaults);
    cluster.idle_timeout = cluster.idle_timeout.or(Some(PASSTHROUGH_IDLE));
    cluster
}

fn black_hole() -> Cluster {
    let nobody = EndpointSet {
        name: names::BLACK_HOLE.into(),
        localities: Vec::new(),
    };
    Cluster::new(names::BLACK_HOLE, Discovery::Static(nobody))
}

/// A port of a service, or of a subset of it.
struct Destination<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    rule: Option<&'a DestinationPolicy>,
    subset: &'a str,
    labels: Option<&'a Selector>,
}

impl Destination<'_> {
    fn plan(&self, view: &View<'_>, snapshot: &mut Snapshot, problems: &mut Vec<Problem>) {
        let port = &self.port.port;
        let name = names::outbound(port.number, self.subset, &self.service.host);
        let subset = Some(self.subset).filter(|subset| !subset.is_empty());
        let mut policy = view.call_policy(self.service, port.number, subset);
        // What a DestinationRule says about TLS comes before a BackendTLSPolicy.
        if policy.tls.is_none() {
            let own = view.mesh.backend_tls(self.service, port.number);
            policy.tls = own.map(|own| own.tls.clone());
        }
        let places = places::in_effect(view, self.service, &policy);
        let instances = || {
            let wanted = Wanted {
                service: self.service,
                port: port.number,
                subset: self.labels,
                places: &places,
            };
            endpoints::set(view, &name, &wanted)
        };
        let discovery = self.discovery(view, &name, &policy, &instances);
        if let Discovery::Told(_) = discovery {
            snapshot
                .endpoints
                .insert(name.clone(), Arc::new(instances()));
        }
        let mut cluster = Cluster::new(name, discovery);
        cluster.connect_timeout = view.mesh.defaults().connect_timeout;
        policy::apply(&mut cluster, &policy, port.protocol, view.mesh.defaults());
        cluster.by_locality = places::take_shares(&places);
        if let Discovery::OriginalDestination(_) = cluster.discovery {
            cluster.balancing = Balancing::Provided;
        }
        let http2 = cluster.protocol == UpstreamProtocol::Http2;
        cluster.tls = security::upstream(
            view,
            self.service,
            port.number,
            self.subset,
            policy.tls.as_ref(),
            http2,
        );
        cluster.metadata = ClusterMetadata {
            services: vec![service_ref(self.service)],
            subset: self.subset.into(),
            origin: self.rule.map(|rule| Origin::of(rule.reference.clone())),
            istio_alpn: !matches!(policy.tls, Some(mesh::ClientTls::Own { .. })),
        };
        self.provide_secrets(view, snapshot, &cluster, problems);
        put(snapshot, cluster);
    }

    /// The same destination under the name that mutual TLS asks for it by. What is within TLS is
    /// the caller's and the instance's own affair.
    fn plan_by_name(&self, snapshot: &mut Snapshot) {
        let (number, host) = (self.port.port.number, &self.service.host);
        let known = names::outbound(number, self.subset, host);
        let Some(known) = snapshot.clusters.get(&known) else {
            return;
        };
        let name = names::server_name(number, self.subset, host);
        let mut cluster = Cluster::clone(known);
        cluster.name = name.clone();
        cluster.tls = UpstreamTls::Off;
        cluster.protocol = UpstreamProtocol::UseDownstream;
        if let Discovery::Told(told) = &mut cluster.discovery {
            if let Some(instances) = snapshot.endpoints.get(told) {
                let instances = EndpointSet {
                    name: name.clone(),
                    ..EndpointSet::clone(instances)
                };
                snapshot.endpoints.insert(name.clone(), Arc::new(instances));
            }
            *told = name;
        }
        put(snapshot, cluster);
    }

    fn discovery(
        &self,
        view: &View<'_>,
        name: &Name,
        policy: &mesh::CallPolicy,
        instances: &dyn Fn() -> EndpointSet,
    ) -> Discovery {
        let caller_tells =
            matches!(policy.balancing(), Some(mesh::Balancing::Passthrough)) || !(self.known(view));
        if caller_tells {
            return Discovery::OriginalDestination(OriginalDestination::default());
        }
        let by_dns = || DnsDiscovery {
            endpoints: instances(),
            refresh: view.mesh.defaults().dns_refresh,
            respect_ttl: true,
        };
        match self.service.resolution {
            Resolution::Dns => Discovery::StrictDns(by_dns()),
            Resolution::DnsRoundRobin => Discovery::LogicalDns(by_dns()),
            _ => Discovery::Told(name.clone()),
        }
    }

    fn known(&self, view: &View<'_>) -> bool {
        knows_instances(view, self.service)
    }

    /// Certificates the user brings must be there, or no connection opens.
    fn provide_secrets(
        &self,
        view: &View<'_>,
        snapshot: &mut Snapshot,
        cluster: &Cluster,
        problems: &mut Vec<Problem>,
    ) {
        let (UpstreamTls::Always(tls), Some(rule)) = (&cluster.tls, self.rule) else {
            return;
        };
        let roots = tls.validation.as_ref().map(|validation| &validation.roots);
        for source in tls.certificates.iter().chain(roots) {
            if !secrets::provide(view, snapshot, source) {
                let reason = missing(source, &view.node.namespace);
                let problem = Problem::new(Severity::Error, rule.source.clone(), reason)
                    .of(rule.reference.clone())
                    .at("spec.trafficPolicy.tls.credentialName");
                problems.push(problem);
            }
        }
    }
}

/// What to say when a secret is not there.
pub(super) fn missing(source: &SecretSource, namespace: &str) -> String {
    match source {
        SecretSource::Named(name) => format!(
            "there is no Secret {} with what is needed in namespace {namespace}: no connection opens",
            name.trim_start_matches("kubernetes://")
        ),
        SecretSource::Inline(_) | SecretSource::Files { .. } => "cannot be read".into(),
    }
}

//! What calls the workload: one listener, whose chains tell ports, mutual TLS and protocols apart.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::{
    access::{self, Access},
    chains, clusters, http,
    http::Side,
    names, policy, retries, security, tables,
    view::View,
};
use crate::{
    config::{PortName, Problem, Severity},
    dataplane::{
        Balancing, ChainMatch, Cluster, Direction, Discovery, EndpointSet, FilterChain, Forward,
        HeaderEdits, Listener, ListenerFilters, Name, Route, RouteAction, RouteSource, RouteTable,
        Snapshot, TcpProxy, TransportProtocol, UpstreamProtocol,
    },
    mesh::{ConnectionPool, IngressEndpoint, IngressListener, MtlsMode, Service},
    name::{AppProtocol, Labels, NamedPort},
};

/// What Istio's proxies offer for requests: TLS with one of these is mutual.
const MESH_HTTP: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What Istio's proxies offer for anything else.
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// What is answered on chains for requests.
const HTTP_ALPN: [&str; 2] = ["h2", "http/1.1"];
/// What is answered on chains for anything else.
const TCP_ALPN: [&str; 3] = ["istio-peer-exchange", "h2", "http/1.1"];

/// A port of the workload, and the service that is called there.
#[derive(Clone, Copy)]
struct Port<'a> {
    /// None where only a Sidecar declares it.
    service: Option<&'a Service>,
    /// The port callers use, and what it speaks.
    port: &'a NamedPort,
    /// What a Sidecar says of it.
    ingress: Option<&'a IngressListener>,
}

/// Plans the inbound listeners and their clusters.
pub(super) fn plan(view: &View<'_>, snapshot: &mut Snapshot, problems: &mut Vec<Problem>) {
    let access = access::in_effect(view, problems);
    problems.extend_from_slice(&view.as_server.problems);
    let mtls = view.mesh.mtls(&view.node.namespace, &view.node.labels);
    let mut filter_chains = vec![chains::tcp(
        "virtualInbound-blackhole",
        at_port(names::INBOUND_PORT),
        served(view, names::BLACK_HOLE.into()),
    )];
    let ports = listed(view, ports(view, problems));
    let strays = mtls
        .ports
        .iter()
        .filter(|(port, _)| !ports.contains_key(port));
    let strays = strays.map(|(port, mode)| (Some(*port), *mode));
    let passthrough = Target {
        view,
        access: &access,
        port: None,
        cluster: names::INBOUND_PASSTHROUGH.into(),
        declared: None,
    };
    for (port, mode) in strays.chain([(None, mtls.mode)]) {
        let target = Target {
            port,
            ..passthrough.clone()
        };
        filter_chains.extend(target.chains(mode, AppProtocol::Auto));
    }
    clusters::put(
        snapshot,
        Cluster {
            protocol: UpstreamProtocol::UseDownstream,
            ..clusters::inbound(view, names::INBOUND_PASSTHROUGH.into(), Vec::new())
        },
    );
    let mut bound = Vec::new();
    for (number, port) in &ports {
        let cluster = names::inbound(*number);
        let target = Target {
            view,
            access: &access,
            port: Some(*number),
            cluster: cluster.clone(),
            declared: Some(port),
        };
        let chains = target.chains(mtls.mode(*number), port.port.protocol);
        match port.ingress.filter(|ingress| !ingress.is_captured) {
            Some(ingress) => bound.push(bound_listener(view, ingress, chains)),
            None => filter_chains.extend(chains),
        }
        clusters::put(snapshot, port.cluster(view, cluster));
    }
    snapshot.listeners.push(Arc::new(Listener {
        name: names::VIRTUAL_INBOUND.into(),
        address: SocketAddr::new(chains::every_address(view), names::INBOUND_PORT),
        ..listener(view, true, filter_chains)
    }));
    snapshot.listeners.extend(bound.into_iter().map(Arc::new));
}

/// The ports a Sidecar lists, where it lists some: others are not told apart then.
fn listed<'a>(view: &'a View<'a>, declared: BTreeMap<u16, Port<'a>>) -> BTreeMap<u16, Port<'a>> {
    let Some(ingress) = &view.ingress else {
        return declared;
    };
    let each = ingress.iter().map(|listener| {
        let number = listener.port.number;
        let port = Port {
            service: declared.get(&number).and_then(|port| port.service),
            port: &listener.port,
            ingress: Some(listener),
        };
        (number, port)
    });
    each.collect()
}

/// A port that callers call without being captured.
fn bound_listener(
    view: &View<'_>,
    ingress: &IngressListener,
    mut chains: Vec<FilterChain>,
) -> Listener {
    let address = ingress.bind.unwrap_or_else(|| chains::every_address(view));
    for chain in &mut chains {
        chain.matches.destination_port = None;
    }
    Listener {
        name: format!("{address}_{}", ingress.port.number).into(),
        address: SocketAddr::new(address, ingress.port.number),
        ..listener(view, false, chains)
    }
}

fn listener(view: &View<'_>, original_dst: bool, filter_chains: Vec<FilterChain>) -> Listener {
    let detection = view.mesh.defaults().protocol_detection_timeout;
    Listener {
        name: "".into(),
        address: SocketAddr::new(chains::every_address(view), 0),
        bind_to_port: true,
        direction: Direction::Inbound,
        use_original_dst: false,
        listener_filters: ListenerFilters {
            original_dst,
            tls_inspector: true,
            http_inspector: true,
            timeout: Some(detection).filter(|wait| !wait.is_zero()),
            continue_on_timeout: true,
            ..ListenerFilters::default()
        },
        filter_chains,
        default_filter_chain: None,
        access_log: view.as_server.refused_log(),
    }
}

impl Port<'_> {
    /// Where the application is, and the most it is given at once.
    fn cluster(&self, view: &View<'_>, name: Name) -> Cluster {
        let services = self.service.map(clusters::service_ref);
        let mut cluster = clusters::inbound(view, name.clone(), services.into_iter().collect());
        let own = view.node.addresses.first();
        let fixed = match self.ingress.map(|ingress| &ingress.endpoint) {
            Some(IngressEndpoint::Loopback(port)) => {
                // The application cannot tell this call from its own: it needs no other source.
                cluster.bind_source = None;
                let local = match view.is_ipv6() {
                    true => Ipv6Addr::LOCALHOST.into(),
                    false => Ipv4Addr::LOCALHOST.into(),
                };
                Some(SocketAddr::new(local, *port))
            }
            Some(IngressEndpoint::Workload(port)) => own.map(|own| SocketAddr::new(*own, *port)),
            Some(IngressEndpoint::AsCalled) | None => None,
        };
        if let Some(address) = fixed {
            cluster.discovery = Discovery::Static(EndpointSet::single(name, address));
            cluster.balancing = Balancing::LeastRequest { choices: 2 };
        }
        cluster.protocol = policy::upstream_protocol(self.port.protocol);
        let pool = self.pool(view);
        policy::apply_inbound_pool(&mut cluster, pool.as_ref(), view.mesh.defaults());
        cluster
    }

    /// The first that is said, whole: of the Sidecar's port, of the Sidecar, of the rule on how the
    /// service is called, of the mesh.
    fn pool(&self, view: &View<'_>) -> Option<ConnectionPool> {
        let of_port = self.ingress.and_then(|ingress| ingress.pool.clone());
        let of_rule = || {
            let (service, namespace) = (self.service?, &view.node.namespace);
            // Rules that select their callers are not about the application.
            let nobody = Labels::default();
            let rule = view.mesh.destination_policy(service, namespace, &nobody)?;
            rule.policy(self.port.number, None).pool
        };
        of_port
            .or_else(|| view.inbound_pool.clone())
            .or_else(of_rule)
            .or_else(|| view.mesh.defaults().pool.clone())
    }
}

/// The ports of the workload that services declare. Of two services at one port the oldest has it.
fn ports<'a>(view: &View<'a>, problems: &mut Vec<Problem>) -> BTreeMap<u16, Port<'a>> {
    let node = view.node;
    let workload = view.mesh.endpoints().workload(&node.namespace, &node.name);
    let mut ports: BTreeMap<u16, Port<'a>> = BTreeMap::new();
    let of_namespace = view.mesh.services().iter();
    for service in of_namespace.filter(|service| *service.namespace == *node.namespace) {
        let selector = service.selector.as_ref();
        let selected = selector.is_some_and(|selector| selector.matches(&node.labels));
        for port in &service.ports {
            let told = view.mesh.endpoints().of(service, port.port.number).iter();
            let mut told = told.filter(|instance| match instance.address {
                crate::mesh::WorkloadAddress::Ip(ip) => node.addresses.contains(&ip),
                crate::mesh::WorkloadAddress::Dns(_) => false,
            });
            // The control plane may know the proxy before it knows its pod.
            let by_selector = || match (&port.target, workload) {
                (PortName::Number(number), _) => Some(*number),
                (target, Some(workload)) => workload.port(target),
                (PortName::Name(_), None) => None,
            };
            let told = told.next().map(|instance| instance.port);
            let number = told.or_else(|| selected.then(by_selector).flatten());
            let Some(number) = number.filter(|_| port.port.protocol != AppProtocol::Udp) else {
                continue;
            };
            match ports.get(&number) {
                None => {
                    let (service, port) = (Some(&**service), &port.port);
                    let ingress = None;
                    ports.insert(
                        number,
                        Port {
                            service,
                            port,
                            ingress,
                        },
                    );
                }
                Some(first) if first.port.protocol != port.port.protocol => {
                    problems.push(conflict(first, service, number));
                }
                Some(_) => {}
            }
        }
    }
    ports
}

fn conflict(first: &Port<'_>, service: &Service, number: u16) -> Problem {
    let older = first.service.map(|older| older.reference.to_string());
    let reason = format!(
        "{} declares another protocol for port {number} of the same workload",
        older.unwrap_or_default()
    );
    Problem::new(Severity::Warning, service.source.clone(), reason)
        .of(service.reference.clone())
        .at("spec.ports")
        .advise("the older one wins")
}

/// One port of the workload, or all that no service declares.
#[derive(Clone)]
struct Target<'a> {
    view: &'a View<'a>,
    access: &'a Access,
    port: Option<u16>,
    cluster: Name,
    declared: Option<&'a Port<'a>>,
}

impl Target<'_> {
    /// The chains for what a port accepts and speaks.
    fn chains(&self, mode: MtlsMode, protocol: AppProtocol) -> Vec<FilterChain> {
        use TransportProtocol::{RawBuffer, Tls};
        let any_mesh: Vec<&str> = MESH_TCP.iter().chain(&MESH_HTTP).copied().collect();
        let clear = &chains::CLEAR_TEXT_HTTP[..];
        let auto = protocol == AppProtocol::Auto;
        match (mode, protocol.is_http()) {
            (MtlsMode::Permissive, true) => vec![
                self.mutual(self.requests(Tls, &any_mesh), &HTTP_ALPN),
                self.requests(RawBuffer, &[]),
            ],
            (MtlsMode::Strict, true) => vec![self.mutual(self.requests(Tls, &[]), &HTTP_ALPN)],
            (MtlsMode::Disable, true) => vec![self.requests(RawBuffer, &[])],
            (MtlsMode::Permissive, false) if auto => vec![
                self.mutual(self.requests(Tls, &MESH_HTTP), &HTTP_ALPN),
                self.requests(RawBuffer, clear),
                self.mutual(self.bytes(Tls, &MESH_TCP), &TCP_ALPN),
                self.bytes(RawBuffer, &[]),
                self.bytes(Tls, &[]),
            ],
            (MtlsMode::Strict, false) if auto => vec![
                self.mutual(self.requests(Tls, &MESH_HTTP), &HTTP_ALPN),
                self.mutual(self.bytes(Tls, &[]), &TCP_ALPN),
            ],
            (MtlsMode::Disable, false) if auto => {
                vec![self.requests(RawBuffer, clear), self.bytes(RawBuffer, &[])]
            }
            (MtlsMode::Permissive, false) => vec![
                self.mutual(self.bytes(Tls, &any_mesh), &TCP_ALPN),
                self.bytes(Tls, &[]),
                self.bytes(RawBuffer, &[]),
            ],
            (MtlsMode::Strict, false) => vec![self.mutual(self.bytes(Tls, &[]), &TCP_ALPN)],
            (MtlsMode::Disable, false) => vec![self.bytes(RawBuffer, &[])],
        }
    }

    fn mutual(&self, chain: FilterChain, alpn: &[&str]) -> FilterChain {
        chains::within(security::server(self.view, alpn), chain)
    }

    fn requests(&self, transport: TransportProtocol, alpn: &[&str]) -> FilterChain {
        let name = self.chain_name("virtualInbound-catchall-http");
        let stat_prefix = format!("inbound_0.0.0.0_{};", self.number());
        let routes = RouteSource::Inline(Arc::new(self.table()));
        let manager = http::connection_manager(
            self.view,
            Side::Inbound,
            &stat_prefix,
            routes,
            &self.access.requests,
        );
        chains::http(&name, self.matches(transport, alpn), manager)
    }

    fn bytes(&self, transport: TransportProtocol, alpn: &[&str]) -> FilterChain {
        let name = self.chain_name(names::VIRTUAL_INBOUND);
        let proxy = served(self.view, self.cluster.clone());
        let chain = chains::tcp(&name, self.matches(transport, alpn), proxy);
        chains::after(self.access.connections.clone(), chain)
    }

    fn chain_name(&self, stray: &str) -> String {
        match self.declared {
            Some(_) => format!("0.0.0.0_{}", self.number()),
            None => stray.into(),
        }
    }

    fn number(&self) -> u16 {
        self.port.unwrap_or(names::INBOUND_PORT)
    }

    fn matches(&self, transport: TransportProtocol, alpn: &[&str]) -> ChainMatch {
        ChainMatch {
            destination_port: self.port,
            transport: Some(transport),
            application_protocols: alpn.iter().map(|&name| name.into()).collect(),
            ..ChainMatch::default()
        }
    }

    /// One route: to the application.
    fn table(&self) -> RouteTable {
        let declared = self.declared.map(|port| (port.service, port.port));
        let forward = Forward {
            retry: declared
                .filter(|(_, port)| {
                    !matches!(port.protocol, AppProtocol::Grpc | AppProtocol::GrpcWeb)
                })
                .map(|_| retries::inbound_policy()),
            ..tables::forward_to(self.cluster.clone())
        };
        let operation = match declared {
            Some((Some(service), port)) => format!("{}:{}/*", service.host, port.number),
            Some((None, _)) | None => format!("{}/*", self.cluster),
        };
        let route = Route {
            operation: Some(operation.into()),
            ..tables::route("default", RouteAction::Forward(forward))
        };
        let service_port = declared.map_or(0, |(_, port)| port.number);
        let host: Name = format!("inbound|http|{service_port}").into();
        RouteTable {
            name: self.cluster.clone(),
            virtual_hosts: vec![crate::dataplane::VirtualHost {
                include_attempt_count: false,
                ..tables::virtual_host(host, vec!["*".into()], vec![route])
            }],
            ignore_port_in_host_matching: false,
            headers: HeaderEdits::default(),
        }
    }
}

/// Passes bytes of callers on to a cluster.
fn served(view: &View<'_>, cluster: Name) -> TcpProxy {
    TcpProxy {
        access_log: view.as_server.access_log.clone(),
        ..chains::proxy_to(view, cluster)
    }
}

fn at_port(port: u16) -> ChainMatch {
    ChainMatch {
        destination_port: Some(port),
        ..ChainMatch::default()
    }
}

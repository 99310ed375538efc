//! What the workload calls: a listener per port or address of a service, found by the address the
//! application meant; the listener all its calls are captured by; and the explicit proxy port.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::{
    chains,
    connections::{addresses, connections},
    http::{self, Side},
    names, tables,
    view::View,
};
use crate::{
    config::{Problem, Severity},
    dataplane::{
        ChainMatch, Direction, FilterChain, Listener, ListenerFilters, Name, RouteSource,
        RouteTable, Snapshot,
    },
    mesh::{EgressListener, Service, ServicePort},
    name::{AppProtocol, NamedPort},
};

/// Ports the proxy needs itself: no service may be called there at any address.
const OWN_PORTS: [u16; 4] = [names::OUTBOUND_PORT, names::INBOUND_PORT, 15021, 15090];

/// Plans every outbound listener and its route tables.
pub(super) fn plan(view: &View<'_>, snapshot: &mut Snapshot, problems: &mut Vec<Problem>) {
    problems.extend_from_slice(&view.as_client.problems);
    let mut listeners = BTreeMap::new();
    match view.egress.clone() {
        None => {
            let door = Door::of_everything();
            door.open(view, &mut listeners, snapshot, problems);
        }
        Some(egress) => {
            for listener in egress.iter() {
                let door = Door::of(listener);
                let seen = view.through(listener);
                door.open(&seen, &mut listeners, snapshot, problems);
            }
        }
    }
    let listeners = listeners.into_values().map(Arc::new);
    snapshot.listeners.extend(listeners);
    if let Some(port) = view.node.http_proxy_port {
        let routes = put_table(snapshot, tables::of_proxy(view, problems));
        snapshot
            .listeners
            .push(Arc::new(proxy_listener(view, port, routes)));
    }
    snapshot.listeners.push(Arc::new(virtual_outbound(view)));
}

/// How a Sidecar wants calls to come in.
#[derive(Clone, Copy)]
struct Door<'a> {
    /// At this port only.
    port: Option<&'a NamedPort>,
    /// At this address only.
    bind: Option<IpAddr>,
    /// Connections are captured; otherwise the application calls the proxy.
    is_captured: bool,
}

impl<'a> Door<'a> {
    fn of_everything() -> Self {
        Door {
            port: None,
            bind: None,
            is_captured: true,
        }
    }

    fn of(listener: &'a EgressListener) -> Self {
        let local = || Ipv4Addr::LOCALHOST.into();
        Door {
            port: listener.port.as_ref(),
            bind: listener
                .bind
                .or_else(|| (!listener.is_captured).then(local)),
            is_captured: listener.is_captured,
        }
    }

    /// Adds the listeners for what is seen here. Those that are there already stay as they are: a
    /// port that one part of a Sidecar declares is locked for the parts after it.
    fn open(
        &self,
        view: &View<'_>,
        listeners: &mut BTreeMap<(IpAddr, u16), Listener>,
        snapshot: &mut Snapshot,
        problems: &mut Vec<Problem>,
    ) {
        let mut calls = Calls {
            bind: self.bind,
            calls: BTreeMap::new(),
        };
        match self.port {
            None => {
                for (service, port) in view.ports() {
                    calls.add(view, service, port, problems);
                }
            }
            Some(port) => calls.add_declared(view, port, problems),
        }
        for (place, call) in calls.calls {
            if listeners.contains_key(&place) {
                continue;
            }
            let (address, port) = place;
            let table = match &call.requests {
                Some(Requests::OfPort) => Some(tables::of_port(view, port, problems)),
                Some(Requests::Of(service)) => {
                    Some(tables::of_service(view, service, port, problems))
                }
                None => None,
            };
            let table = table.map(|mut table| {
                // Of two listeners at one port each has a table, though the first has the name.
                if snapshot.routes.contains_key(&table.name) {
                    table.name = format!("{address}_{}", table.name).into();
                }
                table
            });
            let routes = table.map(|table| put_table(snapshot, table));
            let listener = call.listener(view, self, SocketAddr::new(address, port), routes);
            listeners.insert(place, listener);
        }
    }
}

fn put_table(snapshot: &mut Snapshot, table: RouteTable) -> Name {
    let name = table.name.clone();
    snapshot.routes.insert(name.clone(), Arc::new(table));
    name
}

/// What may be called, by address and port; the unspecified address stands for all others.
struct Calls<'a> {
    /// Where all of it is called, whatever its own address.
    bind: Option<IpAddr>,
    calls: BTreeMap<(IpAddr, u16), Call<'a>>,
}

/// What may be called at one address and port.
#[derive(Default)]
struct Call<'a> {
    /// Requests, if any are routed one by one.
    requests: Option<Requests<'a>>,
    /// Connections that are passed on, by what they match.
    connections: Vec<FilterChain>,
}

enum Requests<'a> {
    /// By the table of the port.
    OfPort,
    /// By the table of this service's port.
    Of(&'a Service),
}

impl<'a> Calls<'a> {
    fn add(
        &mut self,
        view: &View<'_>,
        service: &'a Service,
        port: &ServicePort,
        problems: &mut Vec<Problem>,
    ) {
        let (number, protocol) = (port.port.number, port.port.protocol);
        let everywhere = chains::every_address(view);
        if tables::shares_port(service, protocol) {
            if let Some(call) = self.at(everywhere, number) {
                call.requests = Some(Requests::OfPort);
            }
            if protocol.is_http() {
                return;
            }
        }
        for address in addresses(view, service, number) {
            let Some(call) = self.at(address.unwrap_or(everywhere), number) else {
                continue;
            };
            if protocol == AppProtocol::Auto && address.is_some() {
                call.requests = Some(Requests::Of(service));
            }
            for chain in connections(view, service, port, address, number) {
                if !chains::add_distinct(&mut call.connections, chain) {
                    problems.push(taken(service, number));
                }
            }
        }
    }

    /// A port that a Sidecar declares: for those of the services it sees that have it, and for
    /// bytes also for those that have only one port, whichever that is.
    fn add_declared(&mut self, view: &View<'a>, listened: &NamedPort, problems: &mut Vec<Problem>) {
        let number = listened.number;
        let everywhere = chains::every_address(view);
        if listened.protocol.is_http() {
            if let Some(call) = self.at(everywhere, number) {
                call.requests = Some(Requests::OfPort);
            }
            return;
        }
        for service in view.services() {
            let port = service.port(number).or(match &service.ports[..] {
                [only] => Some(only),
                _ => None,
            });
            let Some(port) = port.filter(|port| port.port.protocol != AppProtocol::Udp) else {
                continue;
            };
            for address in addresses(view, service, port.port.number) {
                let Some(call) = self.at(address.unwrap_or(everywhere), number) else {
                    continue;
                };
                for chain in connections(view, service, port, address, number) {
                    if !chains::add_distinct(&mut call.connections, chain) {
                        problems.push(taken(service, number));
                    }
                }
            }
        }
    }

    fn at(&mut self, address: IpAddr, port: u16) -> Option<&mut Call<'a>> {
        let address = self.bind.unwrap_or(address);
        let own = address.is_unspecified() && OWN_PORTS.contains(&port);
        (!own).then(|| self.calls.entry((address, port)).or_default())
    }
}

impl Call<'_> {
    fn listener(
        self,
        view: &View<'_>,
        door: &Door<'_>,
        address: SocketAddr,
        routes: Option<Name>,
    ) -> Listener {
        let mut chains_ = self.connections;
        let everything = chains_
            .iter()
            .position(|chain| chain.matches == ChainMatch::default());
        let sniffs_http = routes.is_some();
        let sniffs_tls = chains_
            .iter()
            .any(|chain| !chain.matches.server_names.is_empty());
        // A service of its own address takes whatever is not HTTP; a shared port passes it on.
        let default = match (everything, sniffs_http, address.ip().is_unspecified()) {
            (Some(place), true, _) => Some(chains_.remove(place)),
            // Who calls the proxy itself means nobody else whom it could be passed on to.
            (None, _, true) if door.is_captured => Some(chains::tcp(
                "PassthroughFilterChain",
                ChainMatch::default(),
                chains::undeclared(view),
            )),
            _ => None,
        };
        let name = listener_name(address);
        let stat_prefix = format!("outbound_{name};");
        let requests = routes.map(|routes| {
            let routes = RouteSource::Named(routes);
            let manager = http::connection_manager(view, Side::Outbound, &stat_prefix, routes, &[]);
            chains::http("", chains::clear_text_requests(), manager)
        });
        let detection = view.mesh.defaults().protocol_detection_timeout;
        Listener {
            name: name.into(),
            address,
            bind_to_port: !door.is_captured,
            direction: Direction::Outbound,
            use_original_dst: false,
            listener_filters: ListenerFilters {
                tls_inspector: sniffs_tls,
                http_inspector: sniffs_http,
                timeout: Some(detection).filter(|wait| sniffs_http && !wait.is_zero()),
                continue_on_timeout: sniffs_http,
                ..ListenerFilters::default()
            },
            filter_chains: requests.into_iter().chain(chains_).collect(),
            default_filter_chain: default,
            access_log: view.as_client.refused_log(),
        }
    }
}

fn taken(service: &Service, port: u16) -> Problem {
    let reason = format!("port {port}: another service takes the same connections");
    Problem::new(Severity::Warning, service.source.clone(), reason)
        .of(service.reference.clone())
        .at("spec.ports")
        .advise("give both services addresses, so that they can be told apart")
}

/// `0.0.0.0_9080`.
fn listener_name(address: SocketAddr) -> String {
    format!("{}_{}", address.ip(), address.port())
}

/// Everything the application calls is captured here and handed to the listener of the address it
/// meant; what no listener is for passes or is refused.
fn virtual_outbound(view: &View<'_>) -> Listener {
    let to_itself = ChainMatch {
        destination_port: Some(names::OUTBOUND_PORT),
        ..ChainMatch::default()
    };
    Listener {
        name: names::VIRTUAL_OUTBOUND.into(),
        address: SocketAddr::new(chains::every_address(view), names::OUTBOUND_PORT),
        bind_to_port: true,
        direction: Direction::Outbound,
        use_original_dst: true,
        listener_filters: ListenerFilters::default(),
        filter_chains: vec![
            chains::tcp(
                "virtualOutbound-blackhole",
                to_itself,
                chains::proxy_to(view, names::BLACK_HOLE),
            ),
            chains::tcp(
                "virtualOutbound-catchall-tcp",
                ChainMatch::default(),
                chains::undeclared(view),
            ),
        ],
        default_filter_chain: None,
        access_log: view.as_client.refused_log(),
    }
}

/// The port an application may use as its HTTP proxy.
fn proxy_listener(view: &View<'_>, port: u16, routes: Name) -> Listener {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let name = listener_name(address);
    let stat_prefix = format!("outbound_{name};");
    let routes = RouteSource::Named(routes);
    let manager = http::connection_manager(view, Side::Outbound, &stat_prefix, routes, &[]);
    Listener {
        name: name.into(),
        address,
        bind_to_port: true,
        direction: Direction::Outbound,
        use_original_dst: false,
        listener_filters: ListenerFilters::default(),
        filter_chains: vec![chains::http("", ChainMatch::default(), manager)],
        default_filter_chain: None,
        access_log: view.as_client.refused_log(),
    }
}

//! The edge: a listener per port that Gateways open, with what VirtualServices bind to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    access::{self, Access},
    between, chains, clusters, gateway_tables, http,
    http::Side,
    secrets, security,
    view::View,
};
use crate::{
    config::{PortName, Problem, Severity},
    dataplane::{
        ChainMatch, Direction, FilterChain, Listener, ListenerFilters, Name, Origin,
        PeerValidation, RouteSource, RouteTable, SecretSource, ServerTls, Snapshot, TlsVersion,
        TransportProtocol,
    },
    mesh::{self, Client, ClientCertificate, EndTls, Gateway, L4Match, Server, TrafficRules},
    name::{AppProtocol, Host},
};

/// A server and its Gateway.
#[derive(Clone, Copy)]
pub(super) struct Open<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a Server,
}

/// Plans every listener that a Gateway asks this proxy to open.
pub(super) fn plan(view: &View<'_>, snapshot: &mut Snapshot, problems: &mut Vec<Problem>) {
    let access = access::in_effect(view, problems);
    problems.extend_from_slice(&view.as_client.problems);
    let mut doors: BTreeMap<(IpAddr, u16), Vec<Open<'_>>> = BTreeMap::new();
    for gateway in view
        .mesh
        .gateways_of(&view.node.namespace, &view.node.labels)
    {
        for server in &gateway.servers {
            let address = server.bind.unwrap_or_else(|| chains::every_address(view));
            let port = listened_port(view, server.port.number);
            let servers = doors.entry((address, port)).or_default();
            servers.push(Open { gateway, server });
        }
    }
    for ((address, port), servers) in doors {
        let mut door = Door {
            view,
            access: &access,
            address: SocketAddr::new(address, port),
            snapshot,
            problems,
        };
        let listener = door.listener(&servers);
        snapshot.listeners.extend(listener.map(Arc::new));
    }
}

/// The port the proxy listens on where callers use `port`: a Service before the gateway may say
/// so, as its `targetPort`.
fn listened_port(view: &View<'_>, port: u16) -> u16 {
    let before = view.mesh.services().iter().filter(|service| {
        let selector = service.selector.as_ref();
        *service.namespace == *view.node.namespace
            && selector.is_some_and(|selector| selector.matches(&view.node.labels))
    });
    let mut targets = before.filter_map(|service| match service.port(port)?.target {
        PortName::Number(target) => Some(target),
        PortName::Name(_) => None,
    });
    targets.next().unwrap_or(port)
}

/// One address and port.
struct Door<'a> {
    view: &'a View<'a>,
    access: &'a Access,
    address: SocketAddr,
    snapshot: &'a mut Snapshot,
    problems: &'a mut Vec<Problem>,
}

impl Door<'_> {
    fn listener(&mut self, servers: &[Open<'_>]) -> Option<Listener> {
        let is_clear = |open: &Open<'_>| open.server.port.protocol.is_http();
        let (clear, others): (Vec<_>, Vec<_>) = servers.iter().copied().partition(is_clear);
        let mut chains: Vec<FilterChain> = Vec::new();
        if let Some(first) = clear.first() {
            let name: Name = format!("http.{}", self.address.port()).into();
            let port = first.server.port.number;
            let table = gateway_tables::table(self.view, name, port, &clear, self.problems);
            chains.push(self.requests(ChainMatch::default(), table));
        }
        for open in others {
            for chain in self.chains(open) {
                if !chains::add_distinct(&mut chains, chain) {
                    let reason = "another server takes the same connections of this port";
                    self.problem(open, "", Severity::Error, reason);
                }
            }
        }
        let inspects_tls = chains
            .iter()
            .any(|chain| chain.tls.is_some() || !chain.matches.server_names.is_empty());
        (!chains.is_empty()).then(|| Listener {
            name: self.name().into(),
            address: self.address,
            bind_to_port: true,
            direction: Direction::Outbound,
            use_original_dst: false,
            listener_filters: ListenerFilters {
                tls_inspector: inspects_tls,
                ..ListenerFilters::default()
            },
            filter_chains: chains,
            default_filter_chain: None,
            access_log: self.view.as_client.refused_log(),
        })
    }

    /// The chains of a server that does not speak HTTP in clear text.
    fn chains(&mut self, open: Open<'_>) -> Vec<FilterChain> {
        match (&open.server.tls, open.server.is_https) {
            (mesh::ServerTls::End(end), true) => {
                let tls = self.end_tls(open, end, &["h2", "http/1.1"]);
                let name = gateway_tables::https_name(open, self.address.port());
                let port = open.server.port.number;
                let table = gateway_tables::table(self.view, name, port, &[open], self.problems);
                let matches = by_server_name(open.server);
                vec![chains::within(tls, self.requests(matches, table))]
            }
            (mesh::ServerTls::End(end), false) => {
                let tls = self.end_tls(open, end, &[]);
                let mut chains = self.passed_on(open);
                for chain in &mut chains {
                    chain.tls = Some(tls.clone());
                    let names = by_server_name(open.server);
                    chain.matches.server_names = names.server_names;
                    chain.matches.transport = names.transport;
                }
                chains
            }
            (mesh::ServerTls::Passthrough, _) => self.passed_on_by_name(open),
            (mesh::ServerTls::AutoPassthrough, _) => between::chains(self.view, open, self.access),
            (mesh::ServerTls::Off { .. }, _) if open.server.port.protocol == AppProtocol::Tcp => {
                self.passed_on(open)
            }
            (mesh::ServerTls::Off { .. }, _) => {
                let reason = "this protocol is not supported at a gateway: the port stays closed";
                self.problem(open, ".port.protocol", Severity::Error, reason);
                Vec::new()
            }
        }
    }

    fn requests(&mut self, matches: ChainMatch, table: RouteTable) -> FilterChain {
        let stat_prefix = format!("outbound_{};", self.name());
        let routes = RouteSource::Named(table.name.clone());
        let manager = http::connection_manager(
            self.view,
            Side::Edge,
            &stat_prefix,
            routes,
            &self.access.requests,
        );
        let name = table.name.clone();
        self.snapshot.routes.insert(name, Arc::new(table));
        chains::http("", matches, manager)
    }

    /// Connections passed on as `tcp` rules say.
    fn passed_on(&self, open: Open<'_>) -> Vec<FilterChain> {
        let port = open.server.port.number;
        let rules = bound(self.view, open);
        let mut found = rules.flat_map(|rules| rules.tcp.iter().map(move |rule| (rules, rule)));
        let fitting = found.find(|(_, rule)| {
            let mut matches = rule.matches.iter();
            rule.matches.is_empty() || matches.any(|found| applies(open, found))
        });
        let chain = fitting.map(|(rules, rule)| {
            let origin = Origin::of(rules.origin(rule.origin.as_ref())).at(&*rule.field);
            let proxy =
                chains::proxy_by(self.view, (&rule.destinations, rule.nowhere), port, origin);
            let chain = chains::tcp("", ChainMatch::default(), proxy);
            chains::after(self.access.connections.clone(), chain)
        });
        chain.into_iter().collect()
    }

    /// TLS passed on as `tls` rules say, by the name asked for.
    fn passed_on_by_name(&self, open: Open<'_>) -> Vec<FilterChain> {
        let port = open.server.port.number;
        let is_open = |name: &Host| {
            let mut hosts = open.server.hosts.iter();
            hosts.any(|open| open.host.covers(name))
        };
        let mut chains = Vec::new();
        for rules in bound(self.view, open) {
            for rule in &rules.tls {
                let fitting = rule.matches.iter();
                for found in fitting.filter(|found| applies(open, &found.connection)) {
                    let names = found.server_names.iter().filter(|name| is_open(name));
                    let matches = ChainMatch {
                        destination_networks: found.connection.destinations.clone(),
                        server_names: names.map(ToString::to_string).collect(),
                        transport: Some(TransportProtocol::Tls),
                        ..ChainMatch::default()
                    };
                    if matches.server_names.is_empty() {
                        continue;
                    }
                    let origin = Origin::of(rules.origin(rule.origin.as_ref())).at(&*rule.field);
                    let proxy = chains::proxy_by(
                        self.view,
                        (&rule.destinations, rule.nowhere),
                        port,
                        origin,
                    );
                    let chain = chains::tcp("", matches, proxy);
                    chains.push(chains::after(self.access.connections.clone(), chain));
                }
            }
        }
        chains
    }

    fn end_tls(&mut self, open: Open<'_>, end: &EndTls, alpn: &[&str]) -> ServerTls {
        if end.max_version == Some(mesh::TlsVersion::V1_2) {
            let reason = "is not honoured yet: TLS 1.3 is spoken too";
            self.problem(open, ".tls.maxProtocolVersion", Severity::Warning, reason);
        }
        let certificate = end.certificate.as_ref().map(secrets::certificate);
        let certificate = certificate.unwrap_or_else(SecretSource::own_certificate);
        let names = || end.subject_alt_names.iter().map(|name| security::san(name));
        let validation = match &end.client {
            ClientCertificate::NotAsked => None,
            ClientCertificate::Optional(roots) | ClientCertificate::Required(roots) => {
                Some(PeerValidation {
                    roots: secrets::roots(Some(roots)),
                    names: names().collect(),
                    match_requested_host: false,
                })
            }
            ClientCertificate::OfMesh => {
                let mesh = security::server(self.view, &[]).validation;
                mesh.map(|mesh| PeerValidation {
                    names: match end.subject_alt_names.is_empty() {
                        true => mesh.names,
                        false => names().collect(),
                    },
                    ..mesh
                })
            }
        };
        let roots = validation.as_ref().map(|validation| &validation.roots);
        for source in std::iter::once(&certificate).chain(roots) {
            if !secrets::provide(self.view, self.snapshot, source) {
                let reason = clusters::missing(source, &self.view.node.namespace);
                self.problem(open, ".tls.credentialName", Severity::Error, &reason);
            }
        }
        ServerTls {
            certificates: vec![certificate],
            validation,
            require_client_certificate: matches!(
                end.client,
                ClientCertificate::Required(_) | ClientCertificate::OfMesh
            ),
            alpn: alpn.iter().map(|&name| name.into()).collect(),
            min_version: match end.min_version {
                Some(mesh::TlsVersion::V1_3) => TlsVersion::V1_3,
                Some(mesh::TlsVersion::V1_2) | None => TlsVersion::V1_2,
            },
        }
    }

    fn name(&self) -> String {
        format!("{}_{}", self.address.ip(), self.address.port())
    }

    fn problem(&mut self, open: Open<'_>, field: &str, severity: Severity, reason: &str) {
        let problem = Problem::new(severity, open.gateway.source.clone(), reason)
            .of(open.gateway.reference.clone())
            .at(format!("{}{field}", open.server.field));
        self.problems.push(problem);
    }
}

/// Rules that are bound to a Gateway and speak of one of a server's hosts, oldest first.
pub(super) fn bound<'a>(view: &View<'a>, open: Open<'a>) -> impl Iterator<Item = &'a TrafficRules> {
    let client = Client::Gateway(&open.gateway.name);
    let rules = view.mesh.traffic_rules_for(client).map(|rules| &**rules);
    rules.filter(move |rules| !Gateway::hosts(open.server, rules).is_empty())
}

fn applies(open: Open<'_>, condition: &L4Match) -> bool {
    let port_fits = condition
        .port
        .is_none_or(|port| port == open.server.port.number);
    port_fits
        && condition
            .client
            .includes(Client::Gateway(&open.gateway.name))
}

/// Connections that ask for one of the server's hosts; all of TLS where a host is `*`.
fn by_server_name(server: &Server) -> ChainMatch {
    let hosts = server.hosts.iter().map(|open| open.host.to_string());
    let mut server_names: Vec<String> = hosts.collect();
    if server_names.iter().any(|name| name == "*") {
        server_names.clear();
    }
    ChainMatch {
        server_names,
        transport: Some(TransportProtocol::Tls),
        ..ChainMatch::default()
    }
}

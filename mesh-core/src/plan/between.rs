//! Between networks: mutual TLS of the mesh is passed on by the name it asks for, which names a
//! destination (`AUTO_PASSTHROUGH`).
//!
//! Nothing is ended on the way, so callers and instances still prove themselves to each other. Only
//! what offers the mesh's own protocols gets in, and only for services that a server's hosts cover.

use super::{access::Access, chains, clusters, gateway::Open, names, view::View};
use crate::{
    dataplane::{ChainMatch, FilterChain, NodeKind, TransportProtocol},
    mesh::{ServerTls, Service},
};

/// What proxies of the mesh offer.
const MESH_PROTOCOLS: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

/// Whether a proxy passes connections on by the names of destinations: then it needs them under
/// these names.
pub(super) fn is_crossed(view: &View<'_>) -> bool {
    view.node.kind == NodeKind::Gateway && {
        let mut gateways = view
            .mesh
            .gateways_of(&view.node.namespace, &view.node.labels);
        gateways.any(|gateway| {
            let mut servers = gateway.servers.iter();
            servers.any(|server| server.tls == ServerTls::AutoPassthrough)
        })
    }
}

/// Whether a service can be called from another network.
pub(super) fn is_reachable(view: &View<'_>, service: &Service) -> bool {
    !service.is_external && clusters::knows_instances(view, service)
}

/// A chain for every port and subset of every service that the server's hosts cover.
pub(super) fn chains(view: &View<'_>, open: Open<'_>, access: &Access) -> Vec<FilterChain> {
    let mut found = Vec::new();
    for (service, port) in view.ports() {
        let mut hosts = open.server.hosts.iter();
        let covered = hosts.any(|open| {
            let namespace = open.namespace.as_ref();
            namespace.is_none_or(|only| *only == service.namespace)
                && open.host.covers(&service.host)
        });
        if !covered || !is_reachable(view, service) {
            continue;
        }
        let rule = view.destination_policy(service);
        let subsets = rule.into_iter().flat_map(|rule| rule.subsets.keys());
        for subset in std::iter::once("").chain(subsets.map(|name| &**name)) {
            let name = names::server_name(port.port.number, subset, &service.host);
            let matches = ChainMatch {
                server_names: vec![name.to_string()],
                transport: Some(TransportProtocol::Tls),
                application_protocols: MESH_PROTOCOLS.map(String::from).into(),
                ..ChainMatch::default()
            };
            let chain = chains::tcp("", matches, chains::proxy_to(view, name));
            found.push(chains::after(access.connections.clone(), chain));
        }
    }
    found
}

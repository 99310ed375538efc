//! Connections that are passed on: at which addresses a service is called, and what tells its
//! connections from others.

use std::net::IpAddr;

use super::{chains, names, policy::hash_policy, view::View};
use crate::{
    dataplane::{ChainMatch, FilterChain, HashPolicy, Origin, TcpProxy, TransportProtocol},
    mesh::{self, L4Match, Resolution, Service, ServicePort, TrafficRules},
    name::{AppProtocol, IpNetwork},
};

/// The addresses a service is called at; none stands for any.
pub(super) fn addresses(view: &View<'_>, service: &Service, port: u16) -> Vec<Option<IpAddr>> {
    if service.resolution == Resolution::Headless {
        let instances = view.mesh.endpoints().of(service, port).iter();
        let mut addresses: Vec<_> = instances
            .filter_map(|instance| match instance.address {
                mesh::WorkloadAddress::Ip(address) => Some(address),
                mesh::WorkloadAddress::Dns(_) => None,
            })
            .filter(|address| !view.node.addresses.contains(address))
            .collect();
        addresses.sort();
        addresses.dedup();
        return addresses.into_iter().map(Some).collect();
    }
    let mut addresses: Vec<_> = service.addresses.iter().copied().map(Some).collect();
    if addresses.is_empty() || !service.networks.is_empty() {
        addresses.push(None);
    }
    addresses
}

/// How connections to a port of a service are passed on: by the rules for its host, else straight
/// to it. `listened` is the port of the listener.
pub(super) fn connections(
    view: &View<'_>,
    service: &Service,
    port: &ServicePort,
    address: Option<IpAddr>,
    listened: u16,
) -> Vec<FilterChain> {
    let number = port.port.number;
    let rules = view.rules(&service.host).next();
    let mut found = match (rules, port.port.protocol) {
        (Some(rules), AppProtocol::Tls) => by_server_name(view, rules, listened),
        (Some(rules), _) => by_address(view, rules, listened),
        (None, _) => Vec::new(),
    };
    let handled = found
        .iter()
        .any(|chain| chain.matches == ChainMatch::default());
    let named = !found.is_empty() && port.port.protocol == AppProtocol::Tls;
    if !handled && !named {
        let cluster = names::outbound(number, "", &service.host);
        let policy = view.call_policy(service, number, None);
        let proxy = TcpProxy {
            idle_timeout: policy.pool.as_ref().and_then(|pool| pool.tcp_idle_timeout),
            tunnel: policy.tunnel.as_ref().map(chains::tunnel),
            hash_source: policy.balancing().and_then(hash_policy) == Some(HashPolicy::SourceIp),
            ..chains::proxy_to(view, cluster)
        };
        found.push(chains::tcp("", own_match(service, port, address), proxy));
    }
    found
}

/// What tells a service's connections from others of its listener.
fn own_match(service: &Service, port: &ServicePort, address: Option<IpAddr>) -> ChainMatch {
    if address.is_some() {
        return ChainMatch::default();
    }
    let by_name = port.port.protocol == AppProtocol::Tls && service.networks.is_empty();
    ChainMatch {
        destination_networks: service.networks.clone(),
        server_names: match by_name && service.host.as_str() != "*" {
            true => vec![service.host.to_string()],
            false => Vec::new(),
        },
        transport: by_name.then_some(TransportProtocol::Tls),
        ..ChainMatch::default()
    }
}

fn by_server_name(view: &View<'_>, rules: &TrafficRules, port: u16) -> Vec<FilterChain> {
    let each = rules.tls.iter().flat_map(|rule| {
        let fitting = rule.matches.iter();
        let fitting = fitting.filter(|found| applies(view, &found.connection, port));
        fitting.map(move |found| (rule, found))
    });
    each.map(|(rule, found)| {
        let matches = ChainMatch {
            destination_networks: found.connection.destinations.clone(),
            server_names: found.server_names.iter().map(ToString::to_string).collect(),
            transport: Some(TransportProtocol::Tls),
            ..ChainMatch::default()
        };
        let origin = Origin::of(rules.origin(rule.origin.as_ref())).at(&*rule.field);
        let proxy = chains::proxy_by(view, (&rule.destinations, rule.nowhere), port, origin);
        chains::tcp("", matches, proxy)
    })
    .collect()
}

fn by_address(view: &View<'_>, rules: &TrafficRules, port: u16) -> Vec<FilterChain> {
    let mut found: Vec<FilterChain> = Vec::new();
    for rule in &rules.tcp {
        let networks: Vec<Vec<IpNetwork>> = match &rule.matches[..] {
            [] => vec![Vec::new()],
            matches => {
                let fitting = matches.iter().filter(|found| applies(view, found, port));
                fitting.map(|found| found.destinations.clone()).collect()
            }
        };
        for destination_networks in networks {
            let everything = destination_networks.is_empty();
            let matches = ChainMatch {
                destination_networks,
                ..ChainMatch::default()
            };
            let origin = Origin::of(rules.origin(rule.origin.as_ref())).at(&*rule.field);
            let proxy = chains::proxy_by(view, (&rule.destinations, rule.nowhere), port, origin);
            found.push(chains::tcp("", matches, proxy));
            if everything {
                return found;
            }
        }
    }
    found
}

fn applies(view: &View<'_>, condition: &L4Match, port: u16) -> bool {
    let port_fits = condition.port.is_none_or(|wanted| wanted == port);
    port_fits && condition.client.includes(view.sidecar())
}

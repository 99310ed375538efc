//! Pieces that listeners are made of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{names, view::View};
use crate::{
    dataplane::{
        ChainMatch, FilterChain, HashPolicy, HeaderEdits, HttpConnectionManager, Name,
        NetworkFilter, Origin, ServerTls, TcpProxy, Terminal, TransportProtocol, Tunnel,
        WeightedCluster,
    },
    mesh::{self, OutboundMode, WeightedDestination},
};

/// What an inspector calls requests in clear text.
pub(super) const CLEAR_TEXT_HTTP: [&str; 2] = ["http/1.1", "h2c"];

/// A chain that takes requests out of connections.
pub(super) fn http(name: &str, matches: ChainMatch, http: HttpConnectionManager) -> FilterChain {
    chain(name, matches, Terminal::Http(http))
}

/// A chain that passes bytes on.
pub(super) fn tcp(name: &str, matches: ChainMatch, proxy: TcpProxy) -> FilterChain {
    chain(name, matches, Terminal::Tcp(proxy))
}

/// The same chain, ending TLS first.
pub(super) fn within(tls: ServerTls, chain: FilterChain) -> FilterChain {
    FilterChain {
        tls: Some(tls),
        ..chain
    }
}

/// The same chain, judging callers first.
pub(super) fn after(filters: Vec<NetworkFilter>, chain: FilterChain) -> FilterChain {
    FilterChain { filters, ..chain }
}

fn chain(name: &str, matches: ChainMatch, terminal: Terminal) -> FilterChain {
    FilterChain {
        name: name.into(),
        matches,
        tls: None,
        handshake_timeout: None,
        filters: Vec::new(),
        terminal,
    }
}

/// Adds a chain, without server names that a chain before it takes: a connection finds one chain,
/// and of two that ask for the same the first has it. False if nothing is left of it.
pub(super) fn add_distinct(chains: &mut Vec<FilterChain>, mut chain: FilterChain) -> bool {
    let names = std::mem::take(&mut chain.matches.server_names);
    let mut free = names.clone();
    for known in chains.iter() {
        let beside = ChainMatch {
            server_names: Vec::new(),
            ..known.matches.clone()
        };
        if beside == chain.matches {
            if names.is_empty() && known.matches.server_names.is_empty() {
                return false;
            }
            free.retain(|name| !known.matches.server_names.contains(name));
        }
    }
    let is_left = names.is_empty() || !free.is_empty();
    if is_left {
        chain.matches.server_names = free;
        chains.push(chain);
    }
    is_left
}

/// Requests in clear text.
pub(super) fn clear_text_requests() -> ChainMatch {
    ChainMatch {
        transport: Some(TransportProtocol::RawBuffer),
        application_protocols: CLEAR_TEXT_HTTP.map(String::from).into(),
        ..ChainMatch::default()
    }
}

/// Passes bytes on to a cluster.
pub(super) fn proxy_to(view: &View<'_>, cluster: impl Into<Name>) -> TcpProxy {
    let name = cluster.into();
    let whole = WeightedCluster {
        name: name.clone(),
        weight: 1,
        headers: HeaderEdits::default(),
    };
    TcpProxy {
        stat_prefix: name,
        clusters: vec![whole],
        idle_timeout: None,
        tunnel: None,
        hash_source: false,
        access_log: view.as_client.access_log.clone(),
        origin: None,
    }
}

/// What the destination is asked to connect to.
pub(super) fn tunnel(written: &mesh::Tunnel) -> Tunnel {
    Tunnel {
        target: format!("{}:{}", written.host, written.port),
        by_post: written.by_post,
    }
}

/// Passes bytes on as a rule says.
pub(super) fn proxy_by(
    view: &View<'_>,
    (destinations, nowhere): (&[WeightedDestination], u32),
    port: u16,
    origin: Origin,
) -> TcpProxy {
    let mut clusters: Vec<_> = destinations
        .iter()
        .map(|weighted| WeightedCluster {
            name: view.cluster_of(&weighted.destination, port),
            weight: weighted.weight,
            headers: HeaderEdits::default(),
        })
        .collect();
    if nowhere > 0 {
        clusters.push(WeightedCluster {
            name: names::NOWHERE.into(),
            weight: nowhere,
            headers: HeaderEdits::default(),
        });
    }
    let stat_prefix = match &clusters[..] {
        [only] => only.name.clone(),
        _ => format!("{}.{}", origin.resource.name, origin.resource.namespace).into(),
    };
    let lone = match destinations {
        [lone] => view.policy_of(&lone.destination, port),
        _ => None,
    };
    let tunneled = lone.as_ref().and_then(|policy| policy.tunnel.as_ref());
    TcpProxy {
        clusters,
        stat_prefix,
        tunnel: tunneled.map(tunnel),
        hash_source: destinations.iter().any(|weighted| {
            view.hash_of(&weighted.destination, port) == Some(HashPolicy::SourceIp)
        }),
        idle_timeout: lone
            .as_ref()
            .and_then(|policy| policy.pool.as_ref()?.tcp_idle_timeout),
        origin: Some(origin),
        ..proxy_to(view, "")
    }
}

/// Where connections to addresses nobody declared go.
pub(super) fn undeclared(view: &View<'_>) -> TcpProxy {
    proxy_to(view, undeclared_cluster(view))
}

/// The cluster of what nobody declared.
pub(super) fn undeclared_cluster(view: &View<'_>) -> Name {
    match (view.outbound, &view.egress_proxy) {
        (OutboundMode::AllowAny, None) => names::PASSTHROUGH.into(),
        (OutboundMode::AllowAny, Some(proxy)) => view.cluster_of(proxy, 0),
        (OutboundMode::RegistryOnly, _) => names::BLACK_HOLE.into(),
    }
}

/// Every address of the machine, in the family of the proxy's own.
pub(super) fn every_address(view: &View<'_>) -> IpAddr {
    match view.is_ipv6() {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use super::{
    AccessLog, HttpConnectionManager, Name, NetworkFilter, RouteSource, ServerTls, TcpProxy, human,
};
use crate::name::IpNetwork;

/// Where connections enter, and how the chain that serves one is chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listener {
    /// Unique name.
    pub name: Name,
    /// The address to listen on, or, unbound, the destination that connections are handed over for.
    pub address: SocketAddr,
    /// Whether a socket is opened; otherwise another listener hands connections over.
    pub bind_to_port: bool,
    /// Which way traffic flows, for telemetry.
    pub direction: Direction,
    /// Hand a connection to the unbound listener of its original destination.
    pub use_original_dst: bool,
    /// What is found out about a connection before a chain is chosen.
    pub listener_filters: ListenerFilters,
    /// Candidates; the most specific match serves the connection.
    pub filter_chains: Vec<FilterChain>,
    /// Serves what no candidate matches.
    pub default_filter_chain: Option<FilterChain>,
    /// Logs of connections that no chain took.
    pub access_log: Vec<AccessLog>,
}

/// Which way traffic flows through a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Not said.
    #[default]
    Unspecified,
    /// Towards the application.
    Inbound,
    /// From the application.
    Outbound,
}

/// What is found out about a connection before a chain is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ListenerFilters {
    /// Restore the destination the caller meant before it was redirected.
    pub original_dst: bool,
    /// Look for a TLS ClientHello.
    pub tls_inspector: bool,
    /// Look for HTTP/1 or HTTP/2 in clear text.
    pub http_inspector: bool,
    /// Read a PROXY protocol header.
    pub proxy_protocol: bool,
    /// How long to wait for the first bytes; none waits for ever.
    #[serde(serialize_with = "human::optional_duration")]
    pub timeout: Option<Duration>,
    /// Go on without an answer when the wait is over, instead of closing.
    pub continue_on_timeout: bool,
}

/// One way to serve a connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterChain {
    /// Unique within its listener, perhaps empty.
    pub name: Name,
    /// Which connections it serves.
    pub matches: ChainMatch,
    /// TLS to end, if any.
    pub tls: Option<ServerTls>,
    /// How long a TLS handshake may take.
    #[serde(serialize_with = "human::optional_duration")]
    pub handshake_timeout: Option<Duration>,
    /// What happens to the connection on its way, in order.
    pub filters: Vec<NetworkFilter>,
    /// Where it ends.
    pub terminal: Terminal,
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Terminal {
    /// Requests are taken out and routed one by one.
    Http(HttpConnectionManager),
    /// Bytes are passed on.
    Tcp(TcpProxy),
}

/// Which connections a chain serves. Empty parts match everything; parts are compared in the order
/// of the fields, and each narrows the choice without turning back (Envoy's `FilterChainMatch`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ChainMatch {
    /// The destination port, as originally meant.
    pub destination_port: Option<u16>,
    /// Networks the destination lies in; the longest prefix wins.
    pub destination_networks: Vec<IpNetwork>,
    /// SNI names, exact or `*.suffix`.
    pub server_names: Vec<String>,
    /// What the first bytes look like.
    pub transport: Option<TransportProtocol>,
    /// ALPN names of a ClientHello, or `http/1.0`, `http/1.1`, `h2c` found in clear text.
    pub application_protocols: Vec<String>,
    /// Whether the caller is on this machine.
    pub source_type: SourceType,
    /// Networks the caller lies in; the longest prefix wins.
    pub source_networks: Vec<IpNetwork>,
    /// The caller's ports.
    pub source_ports: Vec<u16>,
}

/// What the first bytes of a connection look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportProtocol {
    /// A TLS ClientHello.
    Tls,
    /// Anything else.
    RawBuffer,
}

/// Where a caller is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// Anywhere.
    #[default]
    Any,
    /// On this machine.
    SameHost,
    /// Elsewhere.
    External,
}

impl Listener {
    /// Every chain, the default one last.
    pub fn chains(&self) -> impl Iterator<Item = &FilterChain> {
        self.filter_chains.iter().chain(&self.default_filter_chain)
    }

    /// The route tables its chains look up by name.
    pub fn route_names(&self) -> impl Iterator<Item = &Name> {
        self.chains().filter_map(|chain| match &chain.terminal {
            Terminal::Http(http) => match &http.routes {
                RouteSource::Named(name) => Some(name),
                RouteSource::Inline(_) => None,
            },
            Terminal::Tcp(_) => None,
        })
    }
}

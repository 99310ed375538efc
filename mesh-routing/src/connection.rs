use std::net::SocketAddr;

use mesh_core::{dataplane::TransportProtocol, identity::SpiffeId};

/// A connection as decisions see it, before and after its chain is chosen.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionFacts<'a> {
    /// The other end.
    pub source: SocketAddr,
    /// The address the caller meant.
    pub destination: SocketAddr,
    /// The SNI of a ClientHello.
    pub server_name: Option<&'a str>,
    /// What the first bytes look like.
    pub transport: TransportProtocol,
    /// ALPN names of a ClientHello in the caller's order, or what clear text looks like.
    pub application_protocols: &'a [&'a str],
    /// Who the caller proved to be; not known yet when a chain is chosen.
    pub peer: Option<&'a SpiffeId>,
}

use super::{ClientMatch, WeightedDestination};
use crate::name::{Host, IpNetwork};

/// A rule for TLS connections that are passed on by the name they ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsRule {
    /// Its place in the VirtualService, for explanations.
    pub field: String,
    /// Which connections: one of these must match.
    pub matches: Vec<TlsMatch>,
    /// Where they go, at least one.
    pub destinations: Vec<WeightedDestination>,
}

/// Which TLS connections.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsMatch {
    /// Names asked for (SNI), at least one.
    pub server_names: Vec<Host>,
    /// The rest of the condition.
    pub connection: L4Match,
}

/// A rule for connections of which only bytes are known.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpRule {
    /// Its place in the VirtualService, for explanations.
    pub field: String,
    /// Which connections: one of these must match; none at all means every connection.
    pub matches: Vec<L4Match>,
    /// Where they go, at least one.
    pub destinations: Vec<WeightedDestination>,
}

/// Which connections: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct L4Match {
    /// Addresses called; none for any.
    pub destinations: Vec<IpNetwork>,
    /// The port called.
    pub port: Option<u16>,
    /// Who calls.
    pub client: ClientMatch,
}

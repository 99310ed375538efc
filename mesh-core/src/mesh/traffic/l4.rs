use super::{ClientMatch, WeightedDestination};
use crate::name::{Host, IpNetwork, ResourceRef};

/// A rule for TLS connections that are passed on by the name they ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsRule {
    /// Its place in the VirtualService, for explanations.
    pub field: String,
    /// Which connections: one of these must match.
    pub matches: Vec<TlsMatch>,
    /// Where they go; none only where everything leads nowhere.
    pub destinations: Vec<WeightedDestination>,
    /// The share, relative to the sum, whose destination may not be used or is not there: it is
    /// closed.
    pub nowhere: u32,
    /// The resource it is written in, where that is not the one its rules name.
    pub origin: Option<ResourceRef>,
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
    /// Where they go; none only where everything leads nowhere.
    pub destinations: Vec<WeightedDestination>,
    /// The share, relative to the sum, whose destination may not be used or is not there: it is
    /// closed.
    pub nowhere: u32,
    /// The resource it is written in, where that is not the one its rules name.
    pub origin: Option<ResourceRef>,
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

//! How an instance takes a request: asked of its own plan, by the very code that decides there.

use std::net::SocketAddr;

use mesh_core::{
    dataplane::{
        ClientTls, Cluster, Endpoint, EndpointAddress, FilterChain, HttpFilter, NetworkFilter,
        RbacFilter, SanMatch, Terminal, TransportProtocol, UpstreamTls,
    },
    identity::SpiffeId,
    name::Selector,
};
use mesh_routing::{AccessRequest, Authorizer, ChainSelector, ConnectionFacts, RequestHead};

use super::{
    check::{Instance, Mutual, Welcome},
    party::Party,
    sample,
};

/// What Istio's proxies offer for requests over mutual TLS.
const MESH_ALPN: [&str; 3] = ["istio-http/1.1", "istio", "http/1.1"];
const CLEAR_TEXT: [&str; 1] = ["http/1.1"];

/// A call on its way: who calls, and with what protection.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) caller: &'a Party,
    pub(super) tls: Option<&'a ClientTls>,
    /// The request as it arrives.
    pub(super) head: &'a RequestHead<'a>,
}

/// How a cluster protects calls to one of its instances.
pub(super) fn protection<'a>(cluster: &'a Cluster, endpoint: &Endpoint) -> Option<&'a ClientTls> {
    match &cluster.tls {
        UpstreamTls::Off => None,
        UpstreamTls::Always(tls) => Some(tls),
        UpstreamTls::ByEndpoint(entries) => entries
            .iter()
            .find(|entry| Selector(entry.labels.clone()).matches(&endpoint.tls_labels))
            .and_then(|entry| entry.tls.as_ref()),
    }
}

/// The proxy of an instance; none if it is not of the mesh.
pub(super) fn proxy_of<'a>(
    parties: &'a [Party],
    endpoint: &Endpoint,
) -> Option<(&'a Party, SocketAddr)> {
    let EndpointAddress::Socket(address) = endpoint.address else {
        return None;
    };
    let mut parties = parties.iter();
    let party = parties.find(|party| !party.is_gateway() && party.has_address(address.ip()))?;
    Some((party, address))
}

impl Call<'_> {
    /// How the instance at `address`, whose proxy is `called`, takes this.
    pub(super) fn to(&self, called: &Party, address: SocketAddr) -> Instance {
        let shown = self.tls.filter(|tls| !tls.certificates.is_empty());
        let caller = shown.and(self.caller.identity.as_ref());
        let chain = self.chain(called, address, caller);
        let welcome = match chain {
            None => Welcome::Refused,
            Some(chain) if !self.shakes_hands(chain, called, caller) => Welcome::Refused,
            Some(chain) => self.judged(chain, address, caller),
        };
        let mutual = caller.zip(called.identity.as_ref());
        Instance {
            workload: called.title(),
            mutual: mutual.map(|(caller, called)| Mutual {
                caller: caller.clone(),
                called: called.clone(),
            }),
            welcome,
            tells: chain.is_some_and(|chain| matches!(chain.terminal, Terminal::Http(_))),
        }
    }

    fn chain<'p>(
        &self,
        called: &'p Party,
        address: SocketAddr,
        caller: Option<&SpiffeId>,
    ) -> Option<&'p FilterChain> {
        let listener = called.inbound()?;
        let selector = ChainSelector::compile(listener).ok()?;
        selector
            .select(&self.facts(address, caller))
            .and_then(|chain| chain.of(listener))
    }

    fn facts<'a>(
        &'a self,
        address: SocketAddr,
        caller: Option<&'a SpiffeId>,
    ) -> ConnectionFacts<'a> {
        let source = self.caller.node.addresses.first().copied();
        ConnectionFacts {
            source: SocketAddr::new(source.unwrap_or_else(|| address.ip()), 0),
            destination: address,
            server_name: self.tls.and_then(|tls| tls.sni.as_deref()),
            transport: match self.tls {
                Some(_) => TransportProtocol::Tls,
                None => TransportProtocol::RawBuffer,
            },
            application_protocols: match self.tls {
                Some(_) => &MESH_ALPN,
                None => &CLEAR_TEXT,
            },
            peer: caller,
        }
    }

    /// Whether both sides accept the other's certificate, or neither asks for one.
    fn shakes_hands(&self, chain: &FilterChain, called: &Party, caller: Option<&SpiffeId>) -> bool {
        let (client, server) = match (self.tls, &chain.tls) {
            (None, None) => return true,
            (Some(client), Some(server)) => (client, server),
            // TLS that is passed on to the application.
            (Some(_), None) => return matches!(chain.terminal, Terminal::Tcp(_)),
            (None, Some(_)) => return false,
        };
        let is_expected = |san: &SanMatch| match (san, &called.identity) {
            (SanMatch::Uri(pattern), Some(identity)) => sample::meets(pattern, identity.as_str()),
            _ => false,
        };
        let names = client.validation.iter().flat_map(|checks| &checks.names);
        let mut names = names.peekable();
        let accepts_server = names.peek().is_none() || names.any(is_expected);
        accepts_server && (caller.is_some() || !server.require_client_certificate)
    }

    fn judged(
        &self,
        chain: &FilterChain,
        address: SocketAddr,
        caller: Option<&SpiffeId>,
    ) -> Welcome {
        let facts = self.facts(address, caller);
        let request = AccessRequest {
            head: None,
            connection: &facts,
            remote: facts.source.ip(),
        };
        let connects = chain
            .filters
            .iter()
            .filter_map(|filter| match filter {
                NetworkFilter::Rbac(rules) => Some(rules),
                _ => None,
            })
            .all(|rules| is_allowed(rules, &request));
        if !connects {
            return Welcome::Refused;
        }
        let request = AccessRequest {
            head: Some(self.head),
            ..request
        };
        match requests_pass(chain, &request) {
            true => Welcome::Answers,
            false => Welcome::Denied,
        }
    }
}

/// Whether a chain's rules on requests let this one pass.
pub(super) fn requests_pass(chain: &FilterChain, request: &AccessRequest<'_>) -> bool {
    rules_on_requests(chain).all(|rules| is_allowed(rules, request))
}

/// A chain's rules on requests.
pub(super) fn rules_on_requests(chain: &FilterChain) -> impl Iterator<Item = &RbacFilter> {
    let filters = match &chain.terminal {
        Terminal::Http(http) => &http.filters[..],
        Terminal::Tcp(_) => &[],
    };
    filters.iter().filter_map(|filter| match filter {
        HttpFilter::Rbac(rules) => Some(rules),
        _ => None,
    })
}

/// Rules that do not compile were refused, so that those before them are in force: not known here.
fn is_allowed(rules: &RbacFilter, request: &AccessRequest<'_>) -> bool {
    Authorizer::compile(rules).is_ok_and(|authorizer| authorizer.check(request).is_allowed())
}

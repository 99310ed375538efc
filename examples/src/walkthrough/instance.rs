//! How an instance takes a request: asked of its own plan, by the very code that decides there.

use std::{collections::HashMap, net::SocketAddr};

use mesh_core::{
    dataplane::{
        ClientTls, Cluster, Endpoint, EndpointAddress, FilterChain, HttpFilter, Listener,
        NetworkFilter, RbacFilter, SanMatch, Terminal, TransportProtocol, UpstreamTls,
    },
    identity::SpiffeId,
    name::Selector,
};
use mesh_routing::{
    AccessRequest, Authorizer, ChainRef, ChainSelector, ConnectionFacts, RequestHead,
};

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

/// Every proxy, with what it does to those who call its workload made ready to ask.
pub(super) struct Neighbours<'a> {
    pub(super) parties: &'a [Party],
    called: Vec<Called<'a>>,
}

/// A proxy as its callers meet it.
pub(super) struct Called<'a> {
    pub(super) party: &'a Party,
    inbound: Option<Inbound<'a>>,
}

struct Inbound<'a> {
    listener: &'a Listener,
    selector: ChainSelector,
    judges: HashMap<ChainRef, Judges>,
}

/// The rules of a chain; none if they do not compile, and so were refused.
#[derive(Default)]
pub(super) struct Judges {
    connections: Vec<Option<Authorizer>>,
    requests: Vec<Option<Authorizer>>,
}

impl<'a> Neighbours<'a> {
    pub(super) fn new(parties: &'a [Party]) -> Self {
        let called = parties.iter().filter(|party| !party.is_gateway());
        let called = called.map(|party| Called {
            party,
            inbound: party.inbound().and_then(Inbound::new),
        });
        Self {
            parties,
            called: called.collect(),
        }
    }

    /// The proxy of an instance; none if it is not of the mesh.
    pub(super) fn of(&self, endpoint: &Endpoint) -> Option<(&Called<'a>, SocketAddr)> {
        let EndpointAddress::Socket(address) = endpoint.address else {
            return None;
        };
        let mut all = self.called.iter();
        let called = all.find(|called| called.party.has_address(address.ip()))?;
        Some((called, address))
    }
}

impl<'a> Inbound<'a> {
    fn new(listener: &'a Listener) -> Option<Self> {
        let chains = (0..listener.filter_chains.len()).map(ChainRef::Chain);
        let chains = chains.chain([ChainRef::Default]);
        let judges = chains.filter_map(|place| Some((place, Judges::of(place.of(listener)?))));
        Some(Self {
            listener,
            selector: ChainSelector::compile(listener).ok()?,
            judges: judges.collect(),
        })
    }

    fn chain(&self, facts: &ConnectionFacts<'_>) -> Option<(&'a FilterChain, &Judges)> {
        let place = self.selector.select(facts)?;
        Some((place.of(self.listener)?, self.judges.get(&place)?))
    }
}

impl Judges {
    pub(super) fn of(chain: &FilterChain) -> Self {
        let compile = |rules| Authorizer::compile(rules).ok();
        let connections = chain.filters.iter().filter_map(|filter| match filter {
            NetworkFilter::Rbac(rules) => Some(rules),
            _ => None,
        });
        Self {
            connections: connections.map(compile).collect(),
            requests: rules_on_requests(chain).map(compile).collect(),
        }
    }

    /// Whether the rules on requests let this one pass.
    pub(super) fn let_pass(&self, request: &AccessRequest<'_>) -> bool {
        all_allow(&self.requests, request)
    }
}

fn all_allow(judges: &[Option<Authorizer>], request: &AccessRequest<'_>) -> bool {
    let mut judges = judges.iter();
    judges.all(|judge| {
        judge
            .as_ref()
            .is_some_and(|judge| judge.check(request).is_allowed())
    })
}

impl Call<'_> {
    /// How the instance at `address` takes this.
    pub(super) fn to(&self, called: &Called<'_>, address: SocketAddr) -> Instance {
        let shown = self.tls.filter(|tls| !tls.certificates.is_empty());
        let caller = shown.and(self.caller.identity.as_ref());
        let facts = self.facts(address, caller);
        let inbound = called.inbound.as_ref();
        let found = inbound.and_then(|inbound| inbound.chain(&facts));
        let party = called.party;
        let welcome = match found {
            None => Welcome::Refused,
            Some((chain, _)) if !self.shakes_hands(chain, party, caller) => Welcome::Refused,
            Some((_, judges)) => self.judged(judges, &facts),
        };
        let mutual = caller.zip(party.identity.as_ref());
        Instance {
            workload: party.title(),
            mutual: mutual.map(|(caller, called)| Mutual {
                caller: caller.clone(),
                called: called.clone(),
            }),
            welcome,
            tells: found.is_some_and(|(chain, _)| matches!(chain.terminal, Terminal::Http(_))),
        }
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

    fn judged(&self, judges: &Judges, facts: &ConnectionFacts<'_>) -> Welcome {
        let request = AccessRequest {
            head: None,
            connection: facts,
            remote: facts.source.ip(),
            claims: None,
        };
        if !all_allow(&judges.connections, &request) {
            return Welcome::Refused;
        }
        let request = AccessRequest {
            head: Some(self.head),
            ..request
        };
        match judges.let_pass(&request) {
            true => Welcome::Answers,
            false => Welcome::Denied,
        }
    }
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

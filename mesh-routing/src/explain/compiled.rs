use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use mesh_core::dataplane::{
    AuthzGate, Cluster, Discovery, EndpointSet, FilterChain, HttpConnectionManager, HttpFilter,
    Listener, Name, NetworkFilter, OriginalDestination, RateLimitFilter, RbacFilter, RouteSource,
    Snapshot, TcpProxy, Terminal,
};

use super::{Arrival, Decision, Explanation, Outcome, Payload, ask::Ask, tree::ListenerStep};
use crate::{
    Authorizer, Balancer, Capture, ChainRef, ChainSelector, Router, access::TokenVerifier,
    action::Split, captured, limit::RateLimiter,
};

/// A plan in force, without sockets: everything one proxy decides by, compiled once.
///
/// A part of the plan that does not compile is left out and told by [`PaperProxy::refusals`], as a
/// proxy refuses it.
#[derive(Debug)]
pub struct PaperProxy {
    snapshot: Arc<Snapshot>,
    listeners: Vec<PaperListener>,
    unbound: HashMap<SocketAddr, usize>,
    pub(super) clusters: BTreeMap<Name, PaperCluster>,
    refusals: Vec<(Name, String)>,
}

#[derive(Debug)]
pub(super) struct PaperListener {
    pub(super) planned: Arc<Listener>,
    pub(super) selector: ChainSelector,
    chains: Vec<PaperChain>,
    default: Option<PaperChain>,
}

#[derive(Debug)]
pub(super) struct PaperChain {
    pub(super) planned: FilterChain,
    pub(super) network: Vec<PaperNetworkFilter>,
    pub(super) terminal: PaperTerminal,
}

#[derive(Debug)]
pub(super) enum PaperTerminal {
    Http(Box<PaperHttp>),
    Tcp(Box<PaperTcp>),
}

#[derive(Debug)]
pub(super) struct PaperHttp {
    pub(super) planned: HttpConnectionManager,
    pub(super) table: Name,
    pub(super) filters: Vec<PaperFilter>,
    /// None while a table is named that is not there.
    pub(super) router: Option<Arc<Router>>,
}

#[derive(Debug)]
pub(super) struct PaperTcp {
    pub(super) planned: TcpProxy,
    pub(super) split: Split,
}

#[derive(Debug)]
pub(super) enum PaperNetworkFilter {
    Rbac(Box<PaperRules>),
    Ask(Box<Ask>),
    /// It only tells others what to do.
    Silent(&'static str),
    Unsupported(String),
}

/// Rules on who may do what, as planned and as compiled.
#[derive(Debug)]
pub(super) struct PaperRules {
    pub(super) planned: RbacFilter,
    pub(super) authorizer: Authorizer,
}

/// A filter on requests, as planned and as compiled.
#[derive(Debug)]
pub(super) enum PaperFilter {
    Jwt(TokenVerifier),
    Rbac(Box<PaperRules>),
    Ask(Box<Ask>),
    /// Counted anew for every question: nothing else is under way.
    RateLimit(Box<RateLimitFilter>),
    Fault,
    Cors,
    /// It only counts, or tells others who we are.
    Silent(&'static str),
    Unsupported(String),
}

impl PaperFilter {
    /// Whether the rule for a request is to be looked for again after it.
    pub(super) fn reroutes(&self) -> bool {
        matches!(self, Self::Jwt(verifier) if verifier.reroutes())
    }
}

#[derive(Debug)]
pub(super) struct PaperCluster {
    pub(super) planned: Arc<Cluster>,
    pub(super) instances: PaperInstances,
}

#[derive(Debug)]
pub(super) enum PaperInstances {
    Listed(Box<Balancer>),
    NamedByCaller(OriginalDestination),
}

impl PaperProxy {
    /// Puts a plan in force on paper.
    pub fn compile(snapshot: Arc<Snapshot>) -> Self {
        let mut proxy = Self {
            listeners: Vec::new(),
            unbound: HashMap::new(),
            clusters: BTreeMap::new(),
            refusals: Vec::new(),
            snapshot: Arc::clone(&snapshot),
        };
        let mut routers: BTreeMap<Name, Arc<Router>> = BTreeMap::new();
        for (name, table) in &snapshot.routes {
            match Router::compile(Arc::clone(table)) {
                Ok(router) => drop(routers.insert(name.clone(), Arc::new(router))),
                Err(error) => proxy.refuse(name, error.to_string()),
            }
        }
        for (name, cluster) in &snapshot.clusters {
            match PaperCluster::compile(cluster, &snapshot) {
                Ok(compiled) => drop(proxy.clusters.insert(name.clone(), compiled)),
                Err(error) => proxy.refuse(name, error),
            }
        }
        for listener in &snapshot.listeners {
            match PaperListener::compile(listener, &routers) {
                Ok(compiled) => {
                    if !listener.bind_to_port {
                        let place = proxy.listeners.len();
                        proxy.unbound.insert(listener.address, place);
                    }
                    proxy.listeners.push(compiled);
                }
                Err(error) => proxy.refuse(&listener.name, error),
            }
        }
        proxy
    }

    /// The plan it was made of.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The resources of the plan that cannot be put in force, and why.
    pub fn refusals(&self) -> &[(Name, String)] {
        &self.refusals
    }

    /// The addresses it listens on.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        let bound = self.listeners.iter();
        let bound = bound.filter(|listener| listener.planned.bind_to_port);
        bound.map(|listener| listener.planned.address)
    }

    /// Everything this proxy decides about what arrives.
    pub fn explain(&self, arrival: &Arrival<'_>) -> Explanation {
        let mut told = Explanation {
            listener: None,
            chain: None,
            network: Vec::new(),
            http: None,
            sent: None,
            decision: Decision::new(Outcome::Refused, "no listener is open at this port"),
        };
        let Some(listener) = self.listener_for(arrival, &mut told) else {
            return told;
        };
        let Some((chain, admitted)) = listener.admit(arrival, &mut told) else {
            return told;
        };
        told.decision = match (&chain.terminal, &arrival.payload) {
            (PaperTerminal::Tcp(tcp), _) => self.pass_on(tcp, arrival, &mut told),
            (PaperTerminal::Http(http), Payload::Request(request)) if admitted.is_readable => {
                self.route(http, &admitted, request, arrival, &mut told)
            }
            (PaperTerminal::Http(_), _) => {
                let reason = "the chain expects HTTP, and what arrives is none";
                Decision::new(Outcome::Refused, reason).flag("DPE")
            }
        };
        told
    }

    fn listener_for(
        &self,
        arrival: &Arrival<'_>,
        told: &mut Explanation,
    ) -> Option<&PaperListener> {
        let accepting = self.listeners.iter().find(|listener| {
            listener.planned.bind_to_port && listener.planned.address.port() == arrival.accepted_on
        })?;
        let handed_over = accepting.planned.use_original_dst.then(|| {
            captured(arrival.meant_for, |address| {
                self.listeners.get(*self.unbound.get(&address)?)
            })
        });
        let (listener, why) = handed_over
            .flatten()
            .unwrap_or((accepting, Capture::Accepting));
        let planned = &listener.planned;
        told.listener = Some(ListenerStep {
            name: planned.name.clone(),
            address: planned.address,
            direction: planned.direction,
            why,
            accepted_by: (why != Capture::Accepting).then(|| accepting.planned.name.clone()),
        });
        Some(listener)
    }

    fn refuse(&mut self, name: &Name, error: String) {
        self.refusals.push((name.clone(), error));
    }
}

impl PaperListener {
    fn compile(
        planned: &Arc<Listener>,
        routers: &BTreeMap<Name, Arc<Router>>,
    ) -> Result<Self, String> {
        let compile = |chain: &FilterChain| PaperChain::compile(chain, routers);
        let chains = planned.filter_chains.iter().map(compile);
        Ok(Self {
            selector: ChainSelector::compile(planned).map_err(|error| error.to_string())?,
            chains: chains.collect::<Result<_, _>>()?,
            default: planned
                .default_filter_chain
                .as_ref()
                .map(compile)
                .transpose()?,
            planned: Arc::clone(planned),
        })
    }

    pub(super) fn chain(&self, chosen: ChainRef) -> Option<&PaperChain> {
        match chosen {
            ChainRef::Chain(index) => self.chains.get(index),
            ChainRef::Default => self.default.as_ref(),
        }
    }
}

impl PaperChain {
    fn compile(
        planned: &FilterChain,
        routers: &BTreeMap<Name, Arc<Router>>,
    ) -> Result<Self, String> {
        let filters = planned.filters.iter();
        let network = filters.enumerate().map(|(place, filter)| match filter {
            NetworkFilter::ExtAuthz(asks) => {
                let before = planned.filters[..place].iter();
                let before = before.filter_map(|filter| match filter {
                    NetworkFilter::Rbac(rbac) => Some(rbac),
                    _ => None,
                });
                let ask = Ask::compile(asks.gate.as_ref(), before);
                ask.map(|ask| PaperNetworkFilter::Ask(Box::new(ask)))
            }
            NetworkFilter::Rbac(rbac) if rbac.rules.is_none() && AuthzGate::is_told_by(rbac) => {
                Ok(PaperNetworkFilter::Silent("rules of whom to ask"))
            }
            NetworkFilter::Rbac(rbac) => {
                PaperRules::compile(rbac).map(|rules| PaperNetworkFilter::Rbac(Box::new(rules)))
            }
            other => Ok(PaperNetworkFilter::Unsupported(format!("{other:?}"))),
        });
        let terminal = match &planned.terminal {
            Terminal::Http(http) => {
                PaperTerminal::Http(Box::new(PaperHttp::compile(http, routers)?))
            }
            Terminal::Tcp(tcp) => PaperTerminal::Tcp(Box::new(PaperTcp {
                planned: tcp.clone(),
                split: Split::for_connections(&tcp.clusters).map_err(|error| error.to_string())?,
            })),
        };
        Ok(Self {
            network: network.collect::<Result<_, _>>()?,
            terminal,
            planned: planned.clone(),
        })
    }
}

impl PaperRules {
    pub(super) fn compile(planned: &RbacFilter) -> Result<Self, String> {
        let authorizer = Authorizer::compile(planned).map_err(|error| error.to_string())?;
        Ok(Self {
            planned: planned.clone(),
            authorizer,
        })
    }
}

impl PaperHttp {
    fn compile(
        planned: &HttpConnectionManager,
        routers: &BTreeMap<Name, Arc<Router>>,
    ) -> Result<Self, String> {
        let (table, router) = match &planned.routes {
            RouteSource::Named(name) => (name.clone(), routers.get(name).map(Arc::clone)),
            RouteSource::Inline(table) => {
                let router = Router::compile(Arc::clone(table)).map_err(|e| e.to_string())?;
                (table.name.clone(), Some(Arc::new(router)))
            }
        };
        let filters = planned.filters.iter().enumerate();
        let filters = filters.map(|(place, filter)| match filter {
            HttpFilter::ExtAuthz(asks) => {
                let before = planned.filters[..place].iter();
                let before = before.filter_map(|filter| match filter {
                    HttpFilter::Rbac(rbac) => Some(rbac),
                    _ => None,
                });
                let ask = Ask::compile(asks.gate.as_ref(), before);
                ask.map(|ask| PaperFilter::Ask(Box::new(ask)))
            }
            filter => PaperFilter::compile(filter),
        });
        Ok(Self {
            filters: filters.collect::<Result<_, _>>()?,
            planned: planned.clone(),
            table,
            router,
        })
    }
}

impl PaperFilter {
    fn compile(planned: &HttpFilter) -> Result<Self, String> {
        Ok(match planned {
            HttpFilter::Rbac(rbac) if rbac.rules.is_none() && AuthzGate::is_told_by(rbac) => {
                Self::Silent("rules of whom to ask")
            }
            HttpFilter::Rbac(rbac) => Self::Rbac(Box::new(PaperRules::compile(rbac)?)),
            HttpFilter::JwtAuthn(jwt) => {
                Self::Jwt(TokenVerifier::compile(jwt).map_err(|error| error.to_string())?)
            }
            HttpFilter::RateLimit(limits) => {
                RateLimiter::compile(limits).map_err(|error| error.to_string())?;
                Self::RateLimit(Box::new(limits.clone()))
            }
            HttpFilter::Fault => Self::Fault,
            HttpFilter::Cors => Self::Cors,
            HttpFilter::PeerMetadata => Self::Silent("peer metadata"),
            HttpFilter::GrpcStats => Self::Silent("gRPC counts"),
            HttpFilter::IstioStats | HttpFilter::ChangedStats(_) => Self::Silent("metrics"),
            HttpFilter::IstioAlpn => Self::Silent("Istio's ALPN names"),
            other => Self::Unsupported(format!("{other:?}")),
        })
    }
}

impl PaperCluster {
    fn compile(planned: &Arc<Cluster>, snapshot: &Snapshot) -> Result<Self, String> {
        let set: Arc<EndpointSet> = match &planned.discovery {
            Discovery::Told(name) => {
                let told = snapshot.endpoints.get(name).map(Arc::clone);
                told.unwrap_or_default()
            }
            Discovery::Static(set) => Arc::new(set.clone()),
            Discovery::StrictDns(dns) | Discovery::LogicalDns(dns) => {
                Arc::new(dns.endpoints.clone())
            }
            Discovery::OriginalDestination(named) => {
                return Ok(Self {
                    planned: Arc::clone(planned),
                    instances: PaperInstances::NamedByCaller(named.clone()),
                });
            }
        };
        let balancer = Balancer::compile(set, &planned.balancing, planned.panic_threshold)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            planned: Arc::clone(planned),
            instances: PaperInstances::Listed(Box::new(balancer)),
        })
    }
}

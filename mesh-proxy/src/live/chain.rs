use std::{sync::Arc, time::Duration};

use http::HeaderName;
use mesh_core::dataplane::{
    AccessLog, FilterChain, HttpConnectionManager, HttpFilter, NetworkFilter, RouteSource,
    Snapshot, Terminal,
};
use mesh_routing::{Authorizer, Router, access::TokenVerifier, action::Split};
use mesh_tls::Acceptor;

use super::{LimitsInForce, LiveConfig, authorizers::Authorizers, security::SecurityCompiler};
use crate::telemetry::{CompiledAccessLog, LogSinks};

/// A filter chain in force.
#[derive(Debug)]
pub(crate) struct LiveChain {
    pub(crate) planned: Arc<FilterChain>,
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    pub(crate) network_access: Arc<[Arc<Authorizer>]>,
    pub(crate) terminal: LiveTerminal,
}

/// Where a chain in force ends.
#[derive(Debug)]
pub(crate) enum LiveTerminal {
    Http(HttpChain),
    Tcp(TcpChain),
}

/// A chain that routes requests.
#[derive(Debug, Clone)]
pub(crate) struct HttpChain {
    pub(crate) shared: Arc<HttpShared>,
    /// None while a table is named that did not arrive or was refused: every request is answered
    /// with 404 then, as by Envoy.
    pub(crate) router: Option<Arc<Router>>,
}

/// What requests of a chain share, whatever the routes.
#[derive(Debug)]
pub(crate) struct HttpShared {
    pub(crate) planned: HttpConnectionManager,
    pub(crate) filters: Vec<HttpFilterInForce>,
    pub(crate) access_log: Vec<CompiledAccessLog>,
    /// The request headers that access logs show.
    pub(crate) logged_headers: Vec<HeaderName>,
}

/// A filter in force.
#[derive(Debug)]
pub(crate) enum HttpFilterInForce {
    PeerMetadata,
    Authenticate(TokenVerifier),
    Rbac(Arc<Authorizer>),
    Fault,
    Cors,
    RateLimit(Arc<LimitsInForce>),
}

impl HttpFilterInForce {
    /// Whether the rule for a request is to be looked for again after it.
    pub(crate) fn reroutes(&self) -> bool {
        matches!(self, Self::Authenticate(verifier) if verifier.reroutes())
    }
}

/// A chain that passes bytes on.
#[derive(Debug, Clone)]
pub(crate) struct TcpChain {
    /// Which cluster a connection goes to.
    pub(crate) split: Arc<Split>,
    /// Connections from one address go to one instance, where the cluster hashes.
    pub(crate) hash_source: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) access_log: Arc<[CompiledAccessLog]>,
}

/// What compiling a chain needs to look at.
pub(crate) struct ChainInputs<'a> {
    pub(crate) plan: &'a Snapshot,
    pub(crate) config: &'a LiveConfig,
    pub(crate) security: &'a SecurityCompiler,
    pub(crate) sinks: &'a LogSinks,
    pub(crate) authorizers: &'a Authorizers,
}

impl LiveChain {
    /// Puts a chain in force.
    pub(super) fn compile(
        planned: &FilterChain,
        inputs: &ChainInputs<'_>,
    ) -> Result<Arc<Self>, String> {
        let acceptor = planned
            .tls
            .as_ref()
            .map(|tls| inputs.security.acceptor(tls, inputs.plan).map(Arc::new))
            .transpose()
            .map_err(|error| format!("tls: {error}"))?;
        let network_access = planned
            .filters
            .iter()
            .enumerate()
            .map(|(place, filter)| match filter {
                NetworkFilter::Rbac(rbac) => inputs.authorizers.compile(rbac),
                NetworkFilter::ExtAuthz(asks) => {
                    let before = &planned.filters[..place];
                    let gate = asks.gate.as_ref();
                    inputs
                        .authorizers
                        .instead_of_asking_about_connections(gate, before)
                }
                other => Err(format!("{other:?} is not supported")),
            })
            .collect::<Result<_, _>>()
            .map_err(|error: String| format!("filters: {error}"))?;
        let terminal = match &planned.terminal {
            Terminal::Http(http) => LiveTerminal::Http(HttpChain::compile(http, inputs)?),
            Terminal::Tcp(tcp) if tcp.tunnel.is_some() => {
                return Err("tunnel: connections within others are not supported".into());
            }
            Terminal::Tcp(tcp) => LiveTerminal::Tcp(TcpChain {
                split: Split::for_connections(&tcp.clusters)
                    .map_err(|error| error.to_string())?
                    .into(),
                hash_source: tcp.hash_source,
                idle_timeout: tcp.idle_timeout,
                access_log: compile_logs(&tcp.access_log, inputs.sinks)?.into(),
            }),
        };
        let planned = Arc::new(planned.clone());
        Ok(Arc::new(Self {
            planned,
            acceptor,
            network_access,
            terminal,
        }))
    }

    /// The same chain with the route tables that are in force now.
    pub(super) fn with_routes_of(self: &Arc<Self>, config: &LiveConfig) -> Arc<Self> {
        let LiveTerminal::Http(http) = &self.terminal else {
            return Arc::clone(self);
        };
        let RouteSource::Named(name) = &http.shared.planned.routes else {
            return Arc::clone(self);
        };
        let router = config.routers.get(name).map(Arc::clone);
        let unchanged = match (&http.router, &router) {
            (Some(mine), Some(now)) => Arc::ptr_eq(mine, now),
            (None, None) => true,
            _ => false,
        };
        if unchanged {
            return Arc::clone(self);
        }
        Arc::new(Self {
            planned: Arc::clone(&self.planned),
            acceptor: self.acceptor.clone(),
            network_access: Arc::clone(&self.network_access),
            terminal: LiveTerminal::Http(HttpChain {
                shared: Arc::clone(&http.shared),
                router,
            }),
        })
    }

    /// The limits that its requests are asked for.
    pub(super) fn limits(&self) -> impl Iterator<Item = &Arc<LimitsInForce>> {
        let filters = match &self.terminal {
            LiveTerminal::Http(http) => &http.shared.filters[..],
            LiveTerminal::Tcp(_) => &[],
        };
        filters.iter().filter_map(|filter| match filter {
            HttpFilterInForce::RateLimit(limits) => Some(limits),
            _ => None,
        })
    }

    /// Whether this chain stands where another stood before a change of configuration.
    pub(super) fn is_successor_of(&self, chain: &Self) -> bool {
        self.planned.name == chain.planned.name && self.planned.matches == chain.planned.matches
    }
}

impl HttpChain {
    fn compile(planned: &HttpConnectionManager, inputs: &ChainInputs<'_>) -> Result<Self, String> {
        let router = match &planned.routes {
            RouteSource::Named(name) => inputs.config.routers.get(name).map(Arc::clone),
            RouteSource::Inline(table) => Some(Arc::new(
                Router::compile(Arc::clone(table)).map_err(|error| format!("routes: {error}"))?,
            )),
        };
        let access_log = compile_logs(&planned.access_log, inputs.sinks)?;
        let logged_headers = access_log
            .iter()
            .flat_map(CompiledAccessLog::request_headers);
        let shared = HttpShared {
            filters: compile_filters(&planned.filters, inputs.authorizers)?,
            logged_headers: logged_headers.collect(),
            access_log,
            planned: planned.clone(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            router,
        })
    }
}

/// Opens logs.
pub(super) fn compile_logs(
    planned: &[AccessLog],
    sinks: &LogSinks,
) -> Result<Vec<CompiledAccessLog>, String> {
    planned
        .iter()
        .map(|log| {
            let writer = sinks
                .writer(&log.path)
                .map_err(|error| format!("access_log: cannot open {}: {error}", log.path))?;
            CompiledAccessLog::compile(log, writer).map_err(|error| format!("access_log: {error}"))
        })
        .collect()
}

fn compile_filters(
    planned: &[HttpFilter],
    authorizers: &Authorizers,
) -> Result<Vec<HttpFilterInForce>, String> {
    let mut filters = Vec::with_capacity(planned.len());
    for (index, filter) in planned.iter().enumerate() {
        filters.push(match filter {
            HttpFilter::PeerMetadata => HttpFilterInForce::PeerMetadata,
            HttpFilter::JwtAuthn(tokens) => HttpFilterInForce::Authenticate(
                TokenVerifier::compile(tokens)
                    .map_err(|error| format!("filters[{index}]: {error}"))?,
            ),
            HttpFilter::Rbac(rbac) => HttpFilterInForce::Rbac(
                authorizers
                    .compile(rbac)
                    .map_err(|error| format!("filters[{index}]: {error}"))?,
            ),
            HttpFilter::ExtAuthz(asks) => HttpFilterInForce::Rbac(
                authorizers
                    .instead_of_asking(asks.gate.as_ref(), &planned[..index])
                    .map_err(|error| format!("filters[{index}]: {error}"))?,
            ),
            HttpFilter::Fault => HttpFilterInForce::Fault,
            HttpFilter::Cors => HttpFilterInForce::Cors,
            // Counted for every request, and offered to every upstream that asks for it.
            // Who changes metrics is told when that is planned: nothing but a tag is otherwise, and
            // no request is worth losing for it.
            HttpFilter::ChangedStats(_) => continue,
            HttpFilter::RateLimit(limits) => HttpFilterInForce::RateLimit(
                LimitsInForce::compile(limits)
                    .map_err(|error| format!("filters[{index}]: {error}"))?,
            ),
            HttpFilter::GrpcStats | HttpFilter::IstioStats | HttpFilter::IstioAlpn => continue,
            other => return Err(format!("filters[{index}]: {other:?} is not supported")),
        });
    }
    Ok(filters)
}

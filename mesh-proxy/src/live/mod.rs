//! The configuration in force: a plan in executable form, immutable, swapped by one pointer.

mod apply;
mod authorizers;
mod chain;
mod cluster;
mod limits;
mod security;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

pub(crate) use apply::Compiler;
pub(crate) use chain::{
    HttpChain, HttpFilterInForce, HttpShared, LiveChain, LiveTerminal, TcpChain,
};
pub(crate) use cluster::{Instances, LiveCluster};
pub(crate) use limits::LimitsInForce;
use mesh_core::dataplane::{Listener, Name, Refusal, ResourceType, RouteTable, Snapshot};
use mesh_routing::{ChainRef, ChainSelector, ConnectionFacts, Router};
pub(crate) use security::{ClientSecurity, SecurityCompiler};

use crate::telemetry::CompiledAccessLog;

/// The configuration in force. Every request holds one of these for as long as it needs, so a change
/// never tears a request.
#[derive(Debug, Default)]
pub struct LiveConfig {
    /// The plan it was made from, without what was refused.
    pub snapshot: Arc<Snapshot>,
    /// What could not be put in force.
    pub refusals: Vec<Refusal>,
    /// Counts changes.
    pub generation: u64,
    pub(crate) listeners: HashMap<Name, Arc<LiveListener>>,
    /// Listeners that others hand connections over to, by destination.
    pub(crate) unbound: HashMap<SocketAddr, Name>,
    pub(crate) routers: HashMap<Name, Arc<Router>>,
    pub(crate) clusters: HashMap<Name, Arc<LiveCluster>>,
}

/// A listener in force.
#[derive(Debug)]
pub(crate) struct LiveListener {
    pub(crate) planned: Arc<Listener>,
    selector: Arc<ChainSelector>,
    chains: Vec<Arc<LiveChain>>,
    default_chain: Option<Arc<LiveChain>>,
    /// Logs of connections that no chain took.
    pub(crate) access_log: Arc<[CompiledAccessLog]>,
}

impl LiveConfig {
    pub(crate) fn listener(&self, name: &str) -> Option<&Arc<LiveListener>> {
        self.listeners.get(name)
    }

    /// The limits of all chains.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Arc<LimitsInForce>> {
        let listeners = self.listeners.values();
        let chains =
            listeners.flat_map(|listener| listener.chains.iter().chain(&listener.default_chain));
        chains.flat_map(|chain| chain.limits())
    }

    /// The listener that connections for a destination are handed over to.
    pub(crate) fn unbound(&self, destination: SocketAddr) -> Option<&Arc<LiveListener>> {
        self.listeners.get(self.unbound.get(&destination)?)
    }

    /// Whether the plan had a resource that could not be put in force.
    fn refused(&self, resource_type: ResourceType, name: &str) -> bool {
        self.refusals
            .iter()
            .any(|refusal| refusal.resource_type == resource_type && &*refusal.name == name)
    }

    /// A route table in force, by name.
    pub fn route_table(&self, name: &str) -> Option<&Arc<RouteTable>> {
        self.routers.get(name).map(|router| router.table())
    }
}

impl LiveListener {
    /// The chain that serves a connection.
    pub(crate) fn chain_for(&self, facts: &ConnectionFacts<'_>) -> Option<&Arc<LiveChain>> {
        match self.selector.select(facts)? {
            ChainRef::Chain(index) => self.chains.get(index),
            ChainRef::Default => self.default_chain.as_ref(),
        }
    }

    /// The chain that took the place of another one, so that connections can follow a change.
    pub(crate) fn successor_of(&self, chain: &LiveChain) -> Option<&Arc<LiveChain>> {
        let all = || self.chains.iter().chain(&self.default_chain);
        all().find(|candidate| candidate.is_successor_of(chain))
    }
}

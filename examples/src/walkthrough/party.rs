//! Who takes part: every proxy with its plan in force.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use mesh_core::{
    dataplane::{
        Direction, FilterChain, Listener, Name, Node, NodeKind, RouteSource, RouteTable, Snapshot,
        Terminal,
    },
    identity::SpiffeId,
};
use mesh_proxy::ProxyHandle;

/// One proxy: who it is, what it runs on, and where it listens.
#[derive(Debug, Clone)]
pub struct Party {
    /// Which proxy.
    pub node: Node,
    /// Who it proves to be.
    pub identity: Option<SpiffeId>,
    /// The plan in force.
    pub snapshot: Arc<Snapshot>,
    /// Where its listeners really listen.
    pub listening: BTreeMap<Name, SocketAddr>,
}

/// A way to send requests through a proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct WayIn<'a> {
    pub(super) listener: &'a Listener,
    pub(super) chain: &'a FilterChain,
    /// Where it really listens.
    pub(super) address: SocketAddr,
    pub(super) table: &'a Arc<RouteTable>,
}

impl Party {
    /// A running proxy as it is now.
    pub fn of(proxy: &ProxyHandle) -> Self {
        Self {
            node: proxy.node().clone(),
            identity: proxy
                .credentials()
                .map(|reader| reader.current().identity().clone()),
            snapshot: Arc::clone(&proxy.live().snapshot),
            listening: proxy.listening().into_iter().collect(),
        }
    }

    /// What people call it: its workload, with the namespace unless that is `default`.
    pub(super) fn title(&self) -> String {
        match &*self.node.namespace {
            "default" => self.node.workload.clone(),
            _ if self.is_gateway() => self.node.workload.clone(),
            namespace => format!("{namespace}/{}", self.node.workload),
        }
    }

    pub(super) fn is_gateway(&self) -> bool {
        self.node.kind == NodeKind::Gateway
    }

    pub(super) fn has_address(&self, ip: IpAddr) -> bool {
        self.node.addresses.contains(&ip)
    }

    /// The listener for what calls the workload.
    pub(super) fn inbound(&self) -> Option<&Listener> {
        let mut listeners = self.snapshot.listeners.iter();
        listeners
            .find(|listener| listener.direction == Direction::Inbound && listener.bind_to_port)
            .map(|listener| &**listener)
    }

    /// Where requests may be sent to be routed: the explicit proxy port of a sidecar, every port
    /// of a gateway.
    pub(super) fn ways_in(&self) -> impl Iterator<Item = WayIn<'_>> {
        let listeners = self.snapshot.listeners.iter();
        let bound = listeners
            .filter(|listener| listener.bind_to_port && listener.direction != Direction::Inbound);
        bound.flat_map(move |listener| {
            let address = self.listening.get(&listener.name).copied();
            let chains = address.into_iter().flat_map(|_| listener.chains());
            chains.filter_map(move |chain| {
                let Terminal::Http(http) = &chain.terminal else {
                    return None;
                };
                let table = match &http.routes {
                    RouteSource::Named(name) => self.snapshot.routes.get(name)?,
                    RouteSource::Inline(table) => table,
                };
                Some(WayIn {
                    listener,
                    chain,
                    address: address?,
                    table,
                })
            })
        })
    }
}

//! What a workload calls, or what an edge opens: once for all nodes that differ in nothing that
//! matters to it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::{Part, pool::Pool};
use crate::{
    dataplane::{Node, NodeKind},
    mesh::{DestinationPolicy, Mesh, Service, ServiceEndpoints},
    name::Host,
    plan::{PlanOptions, clusters, gateway, outbound, places, view::View},
};

/// Listeners, their tables, and what they lead to.
#[derive(Debug)]
pub(super) struct Outward {
    /// The version it was last compared with.
    compared: Mesh,
    /// What listeners and tables were planned from.
    from: Mesh,
    listeners: Arc<Part>,
    /// The destinations, as far as their services and rules go.
    calls: Vec<Call>,
    /// What every destination was planned from.
    common: Mesh,
    /// In the order of `calls`.
    destinations: Vec<Destination>,
    whole: Arc<Part>,
}

/// A service that is called, and the rule on how.
#[derive(Debug, Clone)]
struct Call {
    service: Arc<Service>,
    rule: Option<Arc<DestinationPolicy>>,
}

#[derive(Debug, Clone)]
struct Destination {
    call: Call,
    endpoints: Option<Arc<ServiceEndpoints>>,
    part: Arc<Part>,
}

/// A node of which only that is left which may matter to what it calls.
pub(super) fn key(mesh: &Mesh, node: &Node) -> Node {
    let is_ipv6 = node.addresses.first().is_some_and(IpAddr::is_ipv6);
    let family: IpAddr = match is_ipv6 {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    };
    let labels = places::with_own_place(mesh, node);
    let (labels, addresses) = match node.kind {
        NodeKind::Sidecar => {
            let known = mesh.known_addresses(&node.namespace, &node.addresses);
            (mesh.telling(&labels), known)
        }
        NodeKind::Gateway => (labels, Vec::new()),
    };
    Node {
        name: String::new(),
        service_account: String::new(),
        workload: String::new(),
        labels,
        addresses: std::iter::once(family).chain(addresses).collect(),
        ..node.clone()
    }
}

impl Outward {
    pub(super) fn new(
        mesh: &Mesh,
        node: &Node,
        options: &PlanOptions<'static>,
        pool: &mut Pool,
    ) -> Self {
        let from = part(mesh, node).indexed();
        let (listeners, calls) = listeners(&from, node, options, pool);
        let common = from.without_calls();
        let mut outward = Self {
            compared: mesh.clone(),
            from,
            listeners,
            calls,
            common,
            destinations: Vec::new(),
            whole: Arc::default(),
        };
        outward.plan_destinations(mesh, node, options, pool);
        outward.join(node, options);
        outward
    }

    /// The same for the next version.
    pub(super) fn next(
        mut self,
        mesh: &Mesh,
        node: &Node,
        options: &PlanOptions<'static>,
        pool: &mut Pool,
    ) -> Self {
        let from = match self.compared.shares_rules(mesh) {
            true => self.from.clone().known_by_address(mesh),
            false => part(mesh, node),
        };
        let mut is_new = false;
        if !self.from.is_same(&from) {
            let from = from.indexed();
            let (listeners, calls) = listeners(&from, node, options, pool);
            let common = from.without_calls();
            if !self.common.is_same(&common) {
                self.destinations.clear();
                self.common = common;
            }
            (self.listeners, self.calls) = (listeners, calls);
            self.from = from;
            is_new = true;
        }
        self.compared = mesh.clone();
        is_new |= self.plan_destinations(mesh, node, options, pool);
        if is_new {
            self.join(node, options);
        }
        self
    }

    pub(super) fn whole(&self) -> Arc<Part> {
        self.whole.clone()
    }

    /// Whether something is not as before.
    fn plan_destinations(
        &mut self,
        mesh: &Mesh,
        node: &Node,
        options: &PlanOptions<'static>,
        pool: &mut Pool,
    ) -> bool {
        let instances = |call: &Call| mesh.endpoints().service(&call.service);
        let known = self.destinations.iter().zip(&self.calls);
        let is_same = self.destinations.len() == self.calls.len() && { known }
            .all(|(known, call)| known.is_of(call, instances(call)));
        if is_same {
            return false;
        }
        let before = std::mem::take(&mut self.destinations).into_iter();
        let by_host = before.map(|known| (known.call.service.host.clone(), known));
        let mut before: HashMap<Host, Destination> = by_host.collect();
        for call in &self.calls {
            let endpoints = instances(call);
            let known = before.remove(&call.service.host);
            let known = known.filter(|known| known.is_of(call, endpoints));
            let destination = known.unwrap_or_else(|| {
                let from = self.common.towards(&call.service, call.rule.as_ref(), mesh);
                Destination {
                    call: call.clone(),
                    endpoints: endpoints.cloned(),
                    part: destination(&from, node, options, pool),
                }
            });
            self.destinations.push(destination);
        }
        true
    }

    fn join(&mut self, node: &Node, options: &PlanOptions<'static>) {
        let mut whole = Part::default();
        whole.add(&self.listeners);
        for destination in &self.destinations {
            whole.add(&destination.part);
        }
        let view = View::of_everything(&self.common, node, options);
        clusters::put_undeclared(&view, &mut whole.snapshot);
        self.whole = Arc::new(whole);
    }
}

impl Destination {
    fn is_of(&self, call: &Call, endpoints: Option<&Arc<ServiceEndpoints>>) -> bool {
        Arc::ptr_eq(&self.call.service, &call.service)
            && is_same(self.call.rule.as_ref(), call.rule.as_ref())
            && is_same(self.endpoints.as_ref(), endpoints)
    }
}

fn is_same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

/// What listeners and tables depend on: an edge serves rules of every namespace.
fn part(mesh: &Mesh, node: &Node) -> Mesh {
    match node.kind {
        NodeKind::Sidecar => mesh.outward(&node.namespace),
        NodeKind::Gateway => mesh.with_every_rule(),
    }
}

/// The listeners, and what may be called.
fn listeners(
    from: &Mesh,
    node: &Node,
    options: &PlanOptions<'static>,
    pool: &mut Pool,
) -> (Arc<Part>, Vec<Call>) {
    let view = View::new(from, node, options);
    let mut part = Part::default();
    let (snapshot, problems) = (&mut part.snapshot, &mut part.problems);
    match node.kind {
        NodeKind::Sidecar => outbound::plan(&view, snapshot, problems),
        NodeKind::Gateway => gateway::plan(&view, snapshot, problems),
    }
    pool.share(&mut part);
    let calls = view.called().map(|service| Call {
        service: service.clone(),
        rule: from
            .destination_policy(service, &node.namespace, &node.labels)
            .cloned(),
    });
    let calls = calls.collect();
    (Arc::new(part), calls)
}

/// The clusters of one service.
fn destination(
    from: &Mesh,
    node: &Node,
    options: &PlanOptions<'static>,
    pool: &mut Pool,
) -> Arc<Part> {
    let view = View::of_everything(from, node, options);
    let mut part = Part::default();
    clusters::plan(&view, &mut part.snapshot, &mut part.problems);
    pool.share(&mut part);
    Arc::new(part)
}

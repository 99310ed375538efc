//! Plans that are remembered from one version of the mesh to the next.
//!
//! What is remembered is a function's answer under its key, and the function is given its key and
//! nothing else: a part of the mesh, and of the node only what may matter to that part. So a plan
//! cannot depend on something that the memory does not look at.

mod outward;
mod pool;

use std::{collections::HashMap, sync::Arc};

use super::{PlanOptions, inbound, put_roots, view::View};
use crate::{
    config::Problem,
    dataplane::{Node, NodeKind, Snapshot},
    mesh::Mesh,
};
use outward::Outward;
use pool::Pool;

/// Plans for many proxies and many versions of one mesh: always what [`plan`](super::plan) says,
/// for the work of what changed since.
///
/// What nodes have in common is one value, in one place. What was not asked for during a whole
/// version of the mesh is forgotten.
#[derive(Debug, Default)]
pub struct Planner {
    /// The version, and the options, that everything below was last compared with.
    mesh: Option<Mesh>,
    options: Option<PlanOptions<'static>>,
    generation: u64,
    /// What workloads call, by what distinguishes their nodes in this.
    outward: HashMap<Node, Used<Outward>>,
    /// What workloads of a namespace accept is planned from.
    parts: HashMap<String, Used<Arc<Mesh>>>,
    nodes: HashMap<Node, Used<Planned>>,
    pool: Pool,
}

/// A piece of a snapshot, and what was found while it was planned.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) snapshot: Snapshot,
    pub(super) problems: Vec<Problem>,
}

#[derive(Debug)]
struct Used<T> {
    value: T,
    generation: u64,
}

/// What was planned for one node, and from what.
#[derive(Debug)]
struct Planned {
    roots: Option<String>,
    outward: Arc<Part>,
    inward: Option<Inward>,
    snapshot: Arc<Snapshot>,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone)]
struct Inward {
    from: Arc<Mesh>,
    part: Arc<Part>,
}

impl Planner {
    /// Plans for one proxy, as [`plan`](super::plan) does. As long as nothing of it changed it is
    /// the same snapshot as before, not only an equal one.
    pub fn plan(
        &mut self,
        mesh: &Mesh,
        node: &Node,
        options: &PlanOptions<'_>,
    ) -> (Arc<Snapshot>, Vec<Problem>) {
        self.turn_to(mesh, options);
        let generation = self.generation;
        let outward = self.outward(mesh, node);
        let before = self.nodes.remove(node).map(|used| used.value);
        let inward = self.inward(mesh, node, before.as_ref());
        let is_same = |before: &Planned| {
            before.roots.as_deref() == options.roots_pem
                && Arc::ptr_eq(&before.outward, &outward)
                && same(before.inward.as_ref(), inward.as_ref())
        };
        let value = match before.filter(is_same) {
            Some(before) => before,
            None => Planned::assemble(outward, inward, options.roots_pem),
        };
        let found = (value.snapshot.clone(), value.problems.clone());
        let used = Used { value, generation };
        self.nodes.insert(node.clone(), used);
        found
    }

    /// Begins a version, if this is another one.
    fn turn_to(&mut self, mesh: &Mesh, options: &PlanOptions<'_>) {
        let options = options.without_roots();
        if self.options.as_ref() != Some(&options) {
            *self = Self {
                options: Some(options),
                ..Self::default()
            };
        }
        if self
            .mesh
            .as_ref()
            .is_some_and(|known| known.is_version_of(mesh))
        {
            return;
        }
        let last = self.generation;
        self.outward.retain(|_, used| used.generation == last);
        self.parts.retain(|_, used| used.generation == last);
        self.nodes.retain(|_, used| used.generation == last);
        self.pool.sweep();
        self.mesh = Some(mesh.clone());
        self.generation += 1;
    }

    /// What a workload calls, or what an edge opens.
    fn outward(&mut self, mesh: &Mesh, node: &Node) -> Arc<Part> {
        let key = outward::key(mesh, node);
        let options = self.options.get_or_insert_default();
        let generation = self.generation;
        let used = self.outward.remove(&key);
        let value = match used {
            Some(used) if used.generation == generation => used.value,
            Some(used) => used.value.next(mesh, &key, options, &mut self.pool),
            None => Outward::new(mesh, &key, options, &mut self.pool),
        };
        let part = value.whole();
        self.outward.insert(key, Used { value, generation });
        part
    }

    /// What a workload accepts.
    fn inward(&mut self, mesh: &Mesh, node: &Node, before: Option<&Planned>) -> Option<Inward> {
        if node.kind != NodeKind::Sidecar {
            return None;
        }
        let from = self.part_of(mesh, &node.namespace);
        let known = before.and_then(|before| before.inward.as_ref());
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.from, &from)) {
            return Some(known.clone());
        }
        let options = self.options.get_or_insert_default();
        let mut part = Part::default();
        let view = View::new(&from, node, options);
        inbound::plan(&view, &mut part.snapshot, &mut part.problems);
        let unchanged = known.filter(|known| {
            known.part.snapshot == part.snapshot && known.part.problems == part.problems
        });
        let part = unchanged.map_or_else(|| Arc::new(part), |known| known.part.clone());
        Some(Inward { from, part })
    }

    fn part_of(&mut self, mesh: &Mesh, namespace: &str) -> Arc<Mesh> {
        let generation = self.generation;
        let known = self.parts.get(namespace);
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return known.value.clone();
        }
        let part = mesh.inward(namespace);
        let value = match known {
            Some(known) if known.value.is_same(&part) => known.value.clone(),
            _ => Arc::new(part.indexed()),
        };
        let used = Used {
            value: value.clone(),
            generation,
        };
        self.parts.insert(namespace.to_owned(), used);
        value
    }
}

impl PlanOptions<'_> {
    /// The roots are no part of what is remembered: they are put to whole snapshots.
    fn without_roots(&self) -> PlanOptions<'static> {
        let Self {
            roots_pem: _,
            key_sets,
            access_log,
            tracing,
        } = self;
        PlanOptions {
            roots_pem: None,
            key_sets: key_sets.clone(),
            access_log: access_log.clone(),
            tracing: tracing.clone(),
        }
    }
}

impl Planned {
    fn assemble(outward: Arc<Part>, inward: Option<Inward>, roots: Option<&str>) -> Self {
        let mut whole = Part {
            snapshot: outward.snapshot.clone(),
            problems: outward.problems.clone(),
        };
        if let Some(inward) = &inward {
            whole.add(&inward.part);
        }
        if let Some(roots) = roots {
            put_roots(&mut whole.snapshot, roots);
        }
        whole.problems.sort();
        whole.problems.dedup();
        Self {
            roots: roots.map(str::to_owned),
            outward,
            inward,
            snapshot: Arc::new(whole.snapshot),
            problems: whole.problems,
        }
    }
}

impl Part {
    /// Puts everything of another piece to this one.
    pub(super) fn add(&mut self, other: &Self) {
        fn add<K: Ord + Clone, V>(
            to: &mut std::collections::BTreeMap<K, Arc<V>>,
            from: &std::collections::BTreeMap<K, Arc<V>>,
        ) {
            to.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        let Snapshot {
            version: _,
            listeners,
            routes,
            clusters,
            endpoints,
            secrets,
        } = &other.snapshot;
        let to = &mut self.snapshot;
        to.listeners.extend(listeners.iter().cloned());
        add(&mut to.routes, routes);
        add(&mut to.clusters, clusters);
        add(&mut to.endpoints, endpoints);
        add(&mut to.secrets, secrets);
        self.problems.extend(other.problems.iter().cloned());
    }
}

fn same(before: Option<&Inward>, now: Option<&Inward>) -> bool {
    match (before, now) {
        (None, None) => true,
        (Some(before), Some(now)) => Arc::ptr_eq(&before.part, &now.part),
        _ => false,
    }
}

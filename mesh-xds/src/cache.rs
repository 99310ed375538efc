//! The latest snapshot per node, and what each node made of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_core::dataplane::{Node, ResourceType, Snapshot};
use tokio::sync::watch;

use crate::served::Served;

/// The most nodes that are remembered; those without a stream are forgotten first.
pub const MAX_NODES: usize = 100_000;

/// The latest snapshot per node. Cheap to clone; all clones are one cache.
///
/// A node is served nothing before there is a snapshot for it: an empty answer would take away
/// everything it runs on.
#[derive(Debug, Clone)]
pub struct SnapshotCache {
    nodes: Arc<Mutex<BTreeMap<String, Entry>>>,
    changes: watch::Sender<u64>,
}

/// What a node made of what it was served.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeStatus {
    /// How many streams it has open.
    pub streams: usize,
    /// The configuration that its snapshot was planned from.
    pub planned: u64,
    /// Whether it has answered everything that it is served.
    pub is_settled: bool,
    /// The version it took last, by type.
    pub accepted: BTreeMap<ResourceType, String>,
    /// What it refuses, by type, in its own words.
    pub refused: BTreeMap<ResourceType, String>,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    served: watch::Sender<Option<Arc<Served>>>,
    status: NodeStatus,
}

/// A node's place in the cache for as long as its stream lasts.
#[derive(Debug)]
pub(crate) struct Place {
    cache: SnapshotCache,
    id: String,
    pub(crate) served: watch::Receiver<Option<Arc<Served>>>,
}

impl Default for SnapshotCache {
    fn default() -> Self {
        Self {
            nodes: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl SnapshotCache {
    /// Gives a node, known by its id, a snapshot that was planned from this version of the
    /// configuration. One with the same content changes nothing for the node. A node that has no
    /// stream yet is given it when it comes.
    pub fn put(&self, node: &Node, planned: u64, snapshot: &Snapshot) {
        let id = node.id();
        let before = self
            .lock()
            .get(&id)
            .and_then(|entry| entry.served.borrow().clone());
        // Encoding takes long and happens outside the lock.
        let served = Served::new(snapshot, before.as_deref());
        let is_same = before.is_some_and(|before| before.is_same(&served));
        let mut nodes = self.lock();
        let entry = entry(&mut nodes, id, node);
        entry.status.planned = planned;
        if !is_same {
            entry.status.is_settled = false;
            entry.served.send_replace(Some(Arc::new(served)));
        }
        drop(nodes);
        self.announce();
    }

    /// Says that what a node is served is what follows from this version of the configuration too.
    pub fn keep(&self, node: &Node, planned: u64) {
        let mut nodes = self.lock();
        entry(&mut nodes, node.id(), node).status.planned = planned;
        drop(nodes);
        self.announce();
    }

    /// The nodes with a stream.
    pub fn connected(&self) -> Vec<Arc<Node>> {
        self.lock()
            .values()
            .filter(|entry| entry.status.streams > 0)
            .map(|entry| entry.node.clone())
            .collect()
    }

    /// What every node made of what it was served, by node id.
    pub fn status(&self) -> BTreeMap<String, NodeStatus> {
        self.lock()
            .iter()
            .map(|(id, entry)| (id.clone(), entry.status.clone()))
            .collect()
    }

    /// What one node made of what it was served.
    pub fn status_of(&self, node_id: &str) -> Option<NodeStatus> {
        self.lock().get(node_id).map(|entry| entry.status.clone())
    }

    /// Waits until these nodes run on a snapshot planned from this version of the configuration or
    /// a later one, or refuse part of it. Returns what each made of it.
    pub async fn wait_applied(
        &self,
        node_ids: &[String],
        planned: u64,
    ) -> BTreeMap<String, NodeStatus> {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            let status: BTreeMap<_, _> = node_ids
                .iter()
                .filter_map(|id| Some((id.clone(), self.status_of(id)?)))
                .filter(|(_, status)| status.is_settled && status.planned >= planned)
                .collect();
            if status.len() == node_ids.len() || changes.changed().await.is_err() {
                return status;
            }
        }
    }

    /// Changes whenever a node comes, goes, is given something or answers.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn open(&self, node: &Node) -> Place {
        let id = node.id();
        let mut nodes = self.lock();
        let entry = entry(&mut nodes, id.clone(), node);
        entry.node = Arc::new(node.clone());
        entry.status.streams += 1;
        entry.status.is_settled = false;
        let served = entry.served.subscribe();
        drop(nodes);
        self.announce();
        Place {
            cache: self.clone(),
            id,
            served,
        }
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry<'a>(nodes: &'a mut BTreeMap<String, Entry>, id: String, node: &Node) -> &'a mut Entry {
    if nodes.len() >= MAX_NODES {
        nodes.retain(|_, entry| entry.status.streams > 0);
    }
    nodes.entry(id).or_insert_with(|| Entry {
        node: Arc::new(node.clone()),
        served: watch::Sender::new(None),
        status: NodeStatus::default(),
    })
}

impl Place {
    /// Changes the node's status; says so if it did change.
    pub(crate) fn report(&self, change: impl FnOnce(&mut NodeStatus)) {
        let mut nodes = self.cache.lock();
        let Some(entry) = nodes.get_mut(&self.id) else {
            return;
        };
        let before = entry.status.clone();
        change(&mut entry.status);
        let is_changed = entry.status != before;
        drop(nodes);
        if is_changed {
            self.cache.announce();
        }
    }

    /// Whether the node has answered everything in this; of no interest if it is served something
    /// newer by now.
    pub(crate) fn settled(&self, served: &Arc<Served>, is_settled: bool) {
        let is_current = |entry: &Entry| {
            let current = entry.served.borrow();
            current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, served))
        };
        let mut nodes = self.cache.lock();
        let Some(entry) = nodes.get_mut(&self.id).filter(|entry| is_current(entry)) else {
            return;
        };
        let is_changed = entry.status.is_settled != is_settled;
        entry.status.is_settled = is_settled;
        drop(nodes);
        if is_changed {
            self.cache.announce();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.report(|status| {
            status.streams -= 1;
            if status.streams == 0 {
                status.is_settled = false;
            }
        });
    }
}

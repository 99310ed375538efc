use std::{collections::HashMap, sync::Arc};

use super::Part;
use crate::dataplane::{Cluster, EndpointSet, Listener, Name, RouteTable};

/// With so many values of one name, the youngest, another one is compared. More are possible where
/// every workload has a Sidecar of its own: then there is little to share.
const MAX_COMPARED: usize = 32;

/// Planned resources of all nodes, each once: what is equal is one value, in one place.
#[derive(Debug, Default)]
pub(super) struct Pool {
    listeners: Kept<Listener>,
    routes: Kept<RouteTable>,
    clusters: Kept<Cluster>,
    endpoints: Kept<EndpointSet>,
}

/// By name, since equal resources have the same.
type Kept<T> = HashMap<Name, Vec<Arc<T>>>;

impl Pool {
    /// Puts the values that are kept in the place of equal ones, and keeps the others.
    pub(super) fn share(&mut self, part: &mut Part) {
        let snapshot = &mut part.snapshot;
        for listener in &mut snapshot.listeners {
            let name = listener.name.clone();
            share(&mut self.listeners, &name, listener);
        }
        for (name, table) in &mut snapshot.routes {
            share(&mut self.routes, name, table);
        }
        for (name, cluster) in &mut snapshot.clusters {
            share(&mut self.clusters, name, cluster);
        }
        for (name, set) in &mut snapshot.endpoints {
            share(&mut self.endpoints, name, set);
        }
    }

    /// Forgets what nobody else holds.
    pub(super) fn sweep(&mut self) {
        sweep(&mut self.listeners);
        sweep(&mut self.routes);
        sweep(&mut self.clusters);
        sweep(&mut self.endpoints);
    }
}

fn share<T: PartialEq>(kept: &mut Kept<T>, name: &Name, value: &mut Arc<T>) {
    let known = kept.entry(name.clone()).or_default();
    let mut youngest = known.iter().rev().take(MAX_COMPARED);
    match youngest.find(|known| **known == *value) {
        Some(same) => value.clone_from(same),
        None => known.push(value.clone()),
    }
}

fn sweep<T>(kept: &mut Kept<T>) {
    kept.retain(|_, values| {
        values.retain(|value| Arc::strong_count(value) > 1);
        !values.is_empty()
    });
}

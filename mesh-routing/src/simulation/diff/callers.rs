//! Who calls.

use std::collections::BTreeSet;

use mesh_core::{
    dataplane::NodeKind,
    mesh::{Caller, Workload},
};

use crate::simulation::{Simulation, party};

/// Somebody who calls: all replicas of a workload are one.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) caller: Caller,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Source {}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

/// Every workload, gateways as such, and somebody outside.
pub(super) fn sources(simulation: &Simulation) -> BTreeSet<Source> {
    let mesh = simulation.mesh();
    let workloads = mesh.endpoints().workloads().iter();
    let mut sources: BTreeSet<Source> = workloads
        .map(|workload| {
            let (namespace, name) = (workload.namespace.to_string(), owner(workload));
            let caller = match party::kind(mesh, workload) {
                NodeKind::Gateway => Caller::Gateway { namespace, name },
                _ => Caller::Workload { namespace, name },
            };
            Source {
                name: caller.to_string(),
                caller,
            }
        })
        .collect();
    sources.insert(Source {
        name: Caller::Outside.to_string(),
        caller: Caller::Outside,
    });
    sources
}

/// What replicas have in common.
pub(super) fn owner(workload: &Workload) -> String {
    workload.workload_name.to_string()
}

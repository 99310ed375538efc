use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{Cluster, EndpointSet, Listener, Name, RouteTable, Secret};

/// Everything one proxy runs on, at one version. Unchanged resources are shared with the snapshot
/// before it, so comparing pointers tells what changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Snapshot {
    /// Names this state in logs, metrics and admin pages.
    pub version: Name,
    /// Listeners, in the order the control plane gave them.
    pub listeners: Vec<Arc<Listener>>,
    /// Route tables that listeners refer to by name.
    pub routes: BTreeMap<Name, Arc<RouteTable>>,
    /// Clusters by name.
    pub clusters: BTreeMap<Name, Arc<Cluster>>,
    /// Instances of clusters that discover them, by the name the cluster asks for.
    pub endpoints: BTreeMap<Name, Arc<EndpointSet>>,
    /// Certificates and trust bundles by name.
    pub secrets: BTreeMap<Name, Arc<Secret>>,
}

impl Snapshot {
    /// The names of the endpoint sets that clusters of this snapshot ask for.
    pub fn wanted_endpoints(&self) -> impl Iterator<Item = &Name> {
        self.clusters
            .values()
            .filter_map(|cluster| cluster.endpoints_name())
    }

    /// The names of the route tables that listeners of this snapshot ask for.
    pub fn wanted_routes(&self) -> impl Iterator<Item = &Name> {
        self.listeners
            .iter()
            .flat_map(|listener| listener.route_names())
    }
}

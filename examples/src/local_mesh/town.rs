//! What all pods of a mesh share.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use mesh_ca::{Authority, attest::TokenIssuer};
use mesh_core::{config::ConfigSet, dataplane::NodeKind, identity::SpiffeId};
use mesh_tls::TlsContext;
use tokio::sync::{broadcast, watch};

use super::{
    Block, LocalMeshOptions, MeshEvent, Pod, PodKey, UnknownImage, control::Control, pod::Pods,
    state::StateDirectory,
};

/// What all pods of a mesh share.
pub(super) struct Town {
    pub(super) options: LocalMeshOptions,
    pub(super) block: Block,
    pub(super) tls: TlsContext,
    pub(super) authority: Arc<Authority>,
    pub(super) tokens: Arc<TokenIssuer>,
    pub(super) control_identity: SpiffeId,
    pub(super) control: Arc<Control>,
    pub(super) state: StateDirectory,
    pub(super) events: broadcast::Sender<MeshEvent>,
    pub(super) pods: watch::Sender<Pods>,
    /// The configuration whose pods run.
    pub(super) reconciled: watch::Sender<Arc<ConfigSet>>,
    pub(super) unknown: watch::Sender<Vec<UnknownImage>>,
}

/// Whoever drops a mesh instead of ending it leaves no control plane behind.
impl Drop for Town {
    fn drop(&mut self) {
        self.control.stop();
    }
}

impl Town {
    /// Tells whoever listens.
    pub(super) fn tell(&self, event: MeshEvent) {
        // Nobody may listen.
        let _ = self.events.send(event);
    }

    pub(super) fn remember(&self, pod: Pod) {
        let facts = pod.facts();
        self.pods
            .send_modify(|pods| drop(pods.insert(pod.key.clone(), pod)));
        self.tell(MeshEvent::PodUp(facts));
    }

    pub(super) fn forget(&self, key: &PodKey) {
        self.pods.send_modify(|pods| drop(pods.remove(key)));
    }

    pub(super) fn pod_named(&self, name: &str) -> Option<Pod> {
        let pods = self.pods.borrow();
        pods.values().find(|pod| pod.key.name == name).cloned()
    }

    /// Where users reach the mesh, by name of the listener.
    pub(super) fn gateway_addresses(&self) -> Vec<SocketAddr> {
        let pods = self.pods.borrow();
        let gateways = pods
            .values()
            .filter(|pod| pod.proxy.node().kind == NodeKind::Gateway);
        let listening = gateways.flat_map(|pod| pod.proxy.listening());
        listening.map(|(_, address)| address).collect()
    }

    /// Where a proxy or an application writes what it has to say.
    pub(super) fn log_file(&self, name: &str) -> PathBuf {
        self.state.logs().join(format!("{name}.log"))
    }

    /// Waits until every proxy runs on what is written, or refuses part of it. Returns what is
    /// refused, by pod.
    pub(super) async fn settled(&self) -> BTreeMap<String, String> {
        let nodes: Vec<_> = self.pods.borrow().values().map(Pod::node_id).collect();
        self.control.wait_applied(&nodes).await
    }
}

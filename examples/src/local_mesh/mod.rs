//! The whole mesh on this machine, in this process, without root.
//!
//! ```text
//! files ──▶ control plane + CA ══ADS, certificates══▶ a proxy per pod, and the gateway's
//!                 ▲                                          │
//!                 └──── pods, once they answer ◀── applications, started and watched
//! ```
//!
//! [`LocalMesh::start`] takes any directory of Istio and Kubernetes manifests. What a cluster
//! would give has a stand-in here, each in a file of its own: addresses ([`Block`]), the network
//! namespace of a pod ([`PodNetwork`]), Deployments ([`wanted`]), containers ([`Images`]).

mod app;
mod block;
mod control;
mod event;
mod images;
mod life;
mod network;
mod plan;
mod pod;
mod proxies;
mod reconcile;
mod state;
mod town;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mesh_ca::{Authority, IssuancePolicy, attest::TokenIssuer};
use mesh_core::{
    config::{ConfigSet, Problem},
    identity::{SpiffeId, TrustDomain},
};
use mesh_proxy::{DrainSignal, Sidecar, telemetry::Observer};
use mesh_tls::TlsContext;
use tokio::{
    sync::{broadcast, oneshot, watch},
    task::JoinHandle,
};

pub use block::Block;
pub use event::MeshEvent;
pub use images::{CommandLine, FILE_NAME, Images, ImagesError, Program};
pub use network::{GatewayNetwork, GatewayPorts, PodNetwork, ports};
pub use plan::{
    ContainerPlan, EnvValue, NODE_NAME, PodField, PodKey, PodPlan, UnknownImage, Wanted, wanted,
};
pub use pod::{Pod, PodFacts};

use control::{Control, ControlSettings};
use reconcile::Reconciler;
use state::StateDirectory;
use town::Town;

/// Events that may wait for somebody who listens; who is slower misses some.
pub const MAX_EVENTS: usize = 1024;

/// What a local mesh is made of.
#[derive(Clone)]
pub struct LocalMeshOptions {
    /// Directories, taken with the files directly in them, and files.
    pub paths: Vec<PathBuf>,
    /// Where users find the gateway.
    pub gateway: GatewayPorts,
    /// How long certificates live; zero for the authority's default of 24 h.
    pub certificate_lifetime: Duration,
    /// Access logs go to this process's output rather than to files.
    pub access_logs_to_terminal: bool,
    /// How long connections may take to end by themselves.
    pub drain_time: Duration,
    /// Learns of every request at every proxy.
    pub observer: Option<Arc<dyn Observer>>,
}

/// A running mesh.
pub struct LocalMesh {
    town: Arc<Town>,
    gateway: Sidecar,
    gateway_drain: DrainSignal,
    reconciler: JoinHandle<()>,
    announcer: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

/// Why a mesh does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port for users is not free.
    #[error("cannot listen on {address}: {error}")]
    Gateway {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Something cannot be read.
    #[error("{0}")]
    Path(String),
    /// Sockets, threads or files cannot be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is no authority.
    #[error("the certificate authority: {0}")]
    Authority(String),
    /// The gateway does not run.
    #[error("the gateway: {0}")]
    Pod(String),
}

impl LocalMeshOptions {
    /// The mesh of these directories and files, with everything else as a user meets it.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            gateway: GatewayPorts::Customary { http: 8080 },
            certificate_lifetime: Duration::ZERO,
            access_logs_to_terminal: false,
            drain_time: Duration::from_secs(2),
            observer: None,
        }
    }
}

impl LocalMesh {
    /// Starts a mesh, and waits until every pod that can run does and every proxy has its plan.
    pub async fn start(options: LocalMeshOptions) -> Result<Self, StartError> {
        Self::start_and_tell(options, broadcast::Sender::new(MAX_EVENTS)).await
    }

    /// The same, telling what happens from the first moment on.
    pub async fn start_and_tell(
        options: LocalMeshOptions,
        events: broadcast::Sender<MeshEvent>,
    ) -> Result<Self, StartError> {
        look_for_port(options.gateway)?;
        let town = Arc::new(found(options, events)?);
        town.control.start()?;
        let announcer = tokio::spawn(reconcile::announce(Arc::clone(&town)));
        let (gateway_drain, drain) = DrainSignal::new();
        let address = town.block.pod(Reconciler::GATEWAY);
        let address = address
            .ok_or(io::ErrorKind::AddrNotAvailable)
            .map_err(io::Error::from)?;
        let network = GatewayNetwork::new(address, town.options.gateway);
        let gateway = proxies::start_gateway(&town, address, network, drain)
            .await
            .map_err(|error| StartError::Pod(error.to_string()))?;
        let (end, ended) = oneshot::channel();
        let reconciler = tokio::spawn(Reconciler::new(Arc::clone(&town)).run(ended));
        let mesh = Self {
            town,
            gateway,
            gateway_drain,
            reconciler,
            announcer,
            end,
        };
        mesh.wait_settled().await;
        Ok(mesh)
    }

    /// Where users reach the mesh; the first, if there are several; none without a Gateway.
    pub fn gateway_address(&self) -> Option<SocketAddr> {
        self.gateway_addresses().into_iter().next()
    }

    /// Every place where users reach the mesh, by name of the listener.
    pub fn gateway_addresses(&self) -> Vec<SocketAddr> {
        self.town.gateway_addresses()
    }

    /// Everything that runs, the gateway included, by namespace and name.
    pub fn pods(&self) -> Vec<Pod> {
        self.town.pods.borrow().values().cloned().collect()
    }

    /// A running pod of a workload, such as `reviews-v1`.
    pub fn pod(&self, workload: &str) -> Option<Pod> {
        let pods = self.town.pods.borrow();
        pods.values().find(|pod| pod.workload == workload).cloned()
    }

    /// Deployments without a running instance.
    pub fn unknown_images(&self) -> Vec<UnknownImage> {
        self.town.unknown.borrow().clone()
    }

    /// What is written, now and from now on.
    pub fn config(&self) -> watch::Receiver<Arc<ConfigSet>> {
        self.town.control.config()
    }

    /// What is wrong with what is written, now and from now on.
    pub fn problems(&self) -> watch::Receiver<Arc<Vec<Problem>>> {
        self.town.control.problems()
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<MeshEvent> {
        self.town.events.subscribe()
    }

    /// Where the control plane and the CA serve.
    pub fn control_plane_address(&self) -> SocketAddr {
        self.town.block.control_plane()
    }

    /// The mesh's certificate authority.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.town.authority
    }

    /// Where the proxies' access logs are. They go with the mesh, unless they are to be kept.
    pub fn logs(&self) -> &Path {
        self.town.state.logs()
    }

    /// Leaves the logs there when the mesh ends.
    pub fn keep_logs(&self) {
        self.town.state.keep();
    }

    /// Waits until everything that is written now runs, and every proxy has accepted its plan or
    /// refused part of it. A change of a file is written, in this sense, once
    /// [`config`](Self::config) shows it.
    pub async fn wait_settled(&self) {
        let mut config = self.config();
        loop {
            reconcile::reconciled(&self.town, &mut config).await;
            self.town.settled().await;
            if !config.has_changed().unwrap_or(false) {
                return;
            }
        }
    }

    /// Waits until what is written satisfies a condition and is in force everywhere.
    pub async fn wait_written(&self, condition: impl Fn(&ConfigSet) -> bool) {
        let mut config = self.config();
        let _ = config.wait_for(|set| condition(set)).await;
        self.wait_settled().await;
    }

    /// Ends the control plane and the CA, as if their process had ended. Traffic goes on.
    pub fn stop_control_plane(&self) {
        self.town.control.stop();
    }

    /// Starts them again, at the same address.
    pub fn start_control_plane(&self) -> Result<(), StartError> {
        self.town.control.start()
    }

    /// Lets requests under way finish, and ends everything.
    pub async fn shutdown(self) {
        // From the edge inwards, so that nothing is asked of who has gone.
        self.gateway_drain.start();
        self.gateway.ended().await;
        let _ = self.end.send(());
        let _ = self.reconciler.await;
        self.announcer.abort();
        self.town.control.stop();
        self.town.state.leave();
    }
}

/// A port that is taken is better told before anything runs.
fn look_for_port(gateway: GatewayPorts) -> Result<(), StartError> {
    let GatewayPorts::Customary { http } = gateway else {
        return Ok(());
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
    match TcpListener::bind(address) {
        Ok(_free) => Ok(()),
        Err(error) => Err(StartError::Gateway { address, error }),
    }
}

/// Everything a mesh has before anything runs.
fn found(
    options: LocalMeshOptions,
    events: broadcast::Sender<MeshEvent>,
) -> Result<Town, StartError> {
    let unusable = |error: &dyn std::fmt::Display| StartError::Authority(error.to_string());
    let tls = TlsContext::aws_lc();
    let block = Block::claim()?;
    let trust_domain = TrustDomain::default();
    let pem = Authority::generate(&trust_domain, &tls).map_err(|error| unusable(&error))?;
    let policy = IssuancePolicy::default();
    let control_identity =
        SpiffeId::for_service_account(&trust_domain, Control::NAMESPACE, "istiod")
            .map_err(|error| unusable(&error))?;
    let authority = Authority::new(trust_domain, &pem, policy, tls.clone());
    let authority = Arc::new(authority.map_err(|error| unusable(&error))?);
    let tokens = TokenIssuer::generate("local-mesh", tls.clone());
    let tokens = Arc::new(tokens.map_err(|error| unusable(&error))?);
    let settings = ControlSettings {
        address: block.control_plane(),
        paths: options.paths.clone(),
        services: block.services(),
        identity: control_identity.clone(),
        authority: Arc::clone(&authority),
        tokens: Arc::clone(&tokens),
        tls: tls.clone(),
    };
    Ok(Town {
        state: StateDirectory::create(&block)?,
        control: Arc::new(Control::new(settings, events.clone())),
        options,
        block,
        tls,
        authority,
        tokens,
        control_identity,
        events,
        pods: watch::Sender::default(),
        reconciled: watch::Sender::default(),
        unknown: watch::Sender::default(),
    })
}

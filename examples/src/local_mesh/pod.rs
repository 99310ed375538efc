//! One pod, from its first port to its last request.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh_core::{
    config::Change,
    dataplane::{Node, NodeKind},
    identity::SpiffeId,
    name::{Labels, Locality, ResourceRef},
};
use mesh_proxy::{
    DrainSignal, ProxyHandle, Sidecar, SidecarError, SidecarEvent, SidecarOptions, net::Network,
    telemetry::LogTarget,
};
use tokio::{sync::oneshot, time::timeout};

use super::{
    GatewayNetwork, MeshEvent, PodKey, PodNetwork, PodPlan,
    app::{AppError, Applications, PrivatePorts},
    control::Control,
    network::ports,
    town::Town,
};

/// An application that does not answer within this time is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A pod that leaves waits so long for its callers to know.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// How long the tokens are good that prove who a pod is; a new one is made for every use.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// A running pod.
#[derive(Clone)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// The Deployment's name.
    pub workload: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its proxy.
    pub proxy: ProxyHandle,
}

/// What there is to know of a running pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Namespace and name.
    pub key: PodKey,
    /// The Deployment's name.
    pub workload: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Where its proxy's admin pages are.
    pub admin: SocketAddr,
    /// Who it is.
    pub identity: SpiffeId,
    /// The serial number of its certificate.
    pub serial: String,
    /// When that ends.
    pub expires: SystemTime,
}

/// How a pod is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The others go on, and are to know before it goes.
    Leave,
    /// So do all others.
    End,
}

/// Why a pod does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum PodError {
    #[error("its service account makes no identity")]
    Identity,
    #[error("its sidecar: {0}")]
    Sidecar(#[from] SidecarError),
    #[error("its application: {0}")]
    App(#[from] AppError),
    #[error("its application ended before it answered: {0}")]
    Ended(String),
    #[error(
        "its application does not answer at its PORT within {}",
        crate::console::span(ANSWER_LIMIT)
    )]
    Silent,
}

/// What is made of a pod once it runs.
struct Running {
    sidecar: Sidecar,
    applications: Applications,
}

impl Pod {
    /// What there is to know of it now.
    pub fn facts(&self) -> PodFacts {
        let credentials = self.proxy.credentials().map(|reader| reader.current());
        let credentials = credentials.expect("a pod's proxy starts with its certificate");
        let facts = credentials.facts();
        PodFacts {
            key: self.key.clone(),
            workload: self.workload.clone(),
            address: self.address,
            admin: self.admin_address(),
            identity: credentials.identity().clone(),
            serial: facts.serial.clone(),
            expires: facts.not_after,
        }
    }

    /// Where its proxy's admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        (self.address, ports::ADMIN).into()
    }

    /// Its node's id, as the control plane knows it.
    pub fn node_id(&self) -> String {
        self.proxy.node().id()
    }
}

impl fmt::Debug for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.key, self.address)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Runs a pod until it is told to stop or its application ends. `started` is dropped as soon as it
/// is clear whether it runs.
pub(super) async fn live(
    town: Arc<Town>,
    plan: Arc<PodPlan>,
    address: Ipv4Addr,
    started: oneshot::Sender<()>,
    mut stop: oneshot::Receiver<Stop>,
) {
    let (drain, watch) = DrainSignal::new();
    let starting = start(&town, &plan, address, watch);
    let outcome = tokio::select! {
        outcome = starting => outcome,
        _ = &mut stop => {
            town.control.tell(Change::Remove(reference(&plan))).await;
            drain.start();
            return;
        }
    };
    let Running {
        sidecar,
        mut applications,
    } = match outcome {
        Ok(running) => running,
        Err(error) => {
            town.control.tell(Change::Remove(reference(&plan))).await;
            drain.start();
            town.tell(MeshEvent::PodFailed {
                pod: plan.key.name.clone(),
                reason: error.to_string(),
            });
            return;
        }
    };
    drop(started);
    let (how, reason) = tokio::select! {
        how = &mut stop => (how.unwrap_or(Stop::End), None),
        status = applications.ended() => {
            let reason = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            (Stop::Leave, Some(format!("its application ended: {reason}")))
        }
    };
    town.forget(&plan.key);
    if how == Stop::Leave {
        // Whoever does not know in time will find out and try another instance.
        let _ = timeout(FAREWELL_LIMIT, farewell(&town, &plan)).await;
        let pod = plan.key.name.clone();
        town.tell(MeshEvent::PodDown { pod, reason });
    }
    drain.start();
    sidecar.ended().await;
    applications.stop().await;
}

/// Sidecar first, application second, and the mesh is told last: no request meets half a pod.
async fn start(
    town: &Arc<Town>,
    plan: &PodPlan,
    address: Ipv4Addr,
    drain: mesh_proxy::DrainWatch,
) -> Result<Running, PodError> {
    let private = PrivatePorts::find(plan)?;
    let network = Arc::new(PodNetwork::new(address, private.0.clone()));
    introduce(town, plan, address, false).await;
    let node = Node {
        kind: NodeKind::Sidecar,
        http_proxy_port: Some(ports::HTTP_PROXY),
        ..node(
            &plan.key,
            &plan.workload,
            &plan.service_account,
            &plan.labels,
            address,
        )
    };
    let sidecar = proxy(town, node, network, drain).await?;
    sidecar.handle().wait_for(|live| live.generation > 0).await;
    let output = town.log_file(&format!("{}.app", plan.key.name));
    let mut applications = Applications::start(plan, address, &private, &output).await?;
    let answered = timeout(ANSWER_LIMIT, applications.answering());
    let silent = answered.await.is_err();
    if let Some(status) = applications.has_ended() {
        return Err(PodError::Ended(status.to_string()));
    }
    if silent {
        return Err(PodError::Silent);
    }
    let pod = Pod {
        key: plan.key.clone(),
        workload: plan.workload.clone(),
        address,
        proxy: sidecar.handle().clone(),
    };
    introduce(town, plan, address, true).await;
    town.remember(pod);
    Ok(Running {
        sidecar,
        applications,
    })
}

/// Tells the mesh of a pod, and waits until it is part of what is in effect.
async fn introduce(town: &Town, plan: &PodPlan, address: Ipv4Addr, is_ready: bool) {
    let change = Change::Put(plan.resource(address, is_ready));
    town.control.tell(change.clone()).await;
    town.control.known(&change).await;
}

/// Tells the mesh that a pod is no more, and waits until every proxy knows.
async fn farewell(town: &Town, plan: &PodPlan) {
    let change = Change::Remove(reference(plan));
    town.control.tell(change.clone()).await;
    town.control.known(&change).await;
    town.settled().await;
}

/// The gateway that Istio's own manifests are written for.
pub(super) async fn start_gateway(
    town: &Arc<Town>,
    address: Ipv4Addr,
    network: GatewayNetwork,
    drain: mesh_proxy::DrainWatch,
) -> Result<Sidecar, PodError> {
    const WORKLOAD: &str = "istio-ingressgateway";
    let key = PodKey {
        namespace: Control::NAMESPACE.into(),
        name: WORKLOAD.into(),
    };
    let labels = [("app", WORKLOAD), ("istio", "ingressgateway")]
        .into_iter()
        .collect();
    let account = "istio-ingressgateway-service-account";
    let node = Node {
        kind: NodeKind::Gateway,
        ..node(&key, WORKLOAD, account, &labels, address)
    };
    let sidecar = proxy(town, node, Arc::new(network), drain).await?;
    sidecar.handle().wait_for(|live| live.generation > 0).await;
    town.remember(Pod {
        key,
        workload: WORKLOAD.into(),
        address,
        proxy: sidecar.handle().clone(),
    });
    Ok(sidecar)
}

fn node(
    key: &PodKey,
    workload: &str,
    service_account: &str,
    labels: &Labels,
    address: Ipv4Addr,
) -> Node {
    Node {
        kind: NodeKind::Sidecar,
        addresses: vec![address.into()],
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        service_account: service_account.into(),
        workload: workload.into(),
        labels: labels.clone(),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

async fn proxy(
    town: &Arc<Town>,
    node: Node,
    network: Arc<dyn Network>,
    drain: mesh_proxy::DrainWatch,
) -> Result<Sidecar, PodError> {
    let (namespace, account) = (node.namespace.clone(), node.service_account.clone());
    let authority = &town.authority;
    let identity = SpiffeId::for_service_account(authority.trust_domain(), &namespace, &account);
    let tokens = Arc::clone(&town.tokens);
    let name = node.name.clone();
    let options = SidecarOptions {
        identity: identity.map_err(|_| PodError::Identity)?,
        control_plane: town.block.control_plane().to_string(),
        control_plane_identity: town.control_identity.clone(),
        roots: authority.bundles().clone(),
        token: Arc::new(move || Ok(tokens.mint(&namespace, &account, TOKEN_LIFETIME)?)),
        certificate_lifetime: town.options.certificate_lifetime,
        workers: 1,
        network,
        tls: town.tls.clone(),
        log_target: match town.options.access_logs_to_terminal {
            true => LogTarget::Stdout,
            false => LogTarget::File(town.log_file(&name)),
        },
        observer: town.options.observer.clone(),
        drain,
        drain_time: town.options.drain_time,
        on_event: on_event(Arc::downgrade(town), name),
        node,
    };
    Ok(Sidecar::start(options).await?)
}

/// The mesh outlives its proxies' last words, but is not kept alive by them.
fn on_event(town: std::sync::Weak<Town>, pod: String) -> Arc<dyn Fn(SidecarEvent) + Send + Sync> {
    Arc::new(move |event| {
        let Some(town) = town.upgrade() else { return };
        match event {
            // The first certificate comes before the pod is known, and is part of its coming up.
            SidecarEvent::CertificateRenewed(credentials) => {
                if let Some(known) = town.pod_named(&pod) {
                    let facts = PodFacts {
                        serial: credentials.facts().serial.clone(),
                        expires: credentials.facts().not_after,
                        ..known.facts()
                    };
                    town.tell(MeshEvent::Renewed { pod: facts });
                }
            }
            SidecarEvent::CertificateFailed { reason, retry_in } => {
                let pod = pod.clone();
                town.tell(MeshEvent::NotRenewed {
                    pod,
                    reason,
                    retry_in,
                });
            }
            _ => {}
        }
    })
}

fn reference(plan: &PodPlan) -> ResourceRef {
    ResourceRef::new("", "Pod", &plan.key.namespace, &plan.key.name)
}

/// Pods by namespace and name.
pub(super) type Pods = BTreeMap<PodKey, Pod>;

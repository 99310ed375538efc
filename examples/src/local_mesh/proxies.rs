//! The proxies of a mesh: sidecars, and the gateway.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Weak},
    time::Duration,
};

use mesh_core::{
    dataplane::{Node, NodeKind},
    identity::SpiffeId,
    name::{Labels, Locality},
};
use mesh_proxy::{
    DrainWatch, Sidecar, SidecarEvent, SidecarOptions, net::Network, telemetry::LogTarget,
};

use super::{
    GatewayNetwork, MeshEvent, Pod, PodFacts, PodKey, control::Control, life::PodError, town::Town,
};

/// How long the tokens are good that prove who a pod is; a new one is made for every use.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The gateway that Istio's own manifests are written for.
pub(super) async fn start_gateway(
    town: &Arc<Town>,
    address: Ipv4Addr,
    network: GatewayNetwork,
    drain: DrainWatch,
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

/// A pod's proxy, as the control plane is to know it.
pub(super) fn node(
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

/// Obtains an identity and starts to follow the control plane.
pub(super) async fn proxy(
    town: &Arc<Town>,
    node: Node,
    network: Arc<dyn Network>,
    drain: DrainWatch,
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
fn on_event(town: Weak<Town>, pod: String) -> Arc<dyn Fn(SidecarEvent) + Send + Sync> {
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

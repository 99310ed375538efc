//! One pod, from its first port to its last request.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use mesh_core::{
    config::Change,
    dataplane::{Node, NodeKind},
    name::ResourceRef,
};
use mesh_proxy::{DrainSignal, DrainWatch, Sidecar, SidecarError};
use tokio::{sync::oneshot, time::timeout};

use super::{
    MeshEvent, Pod, PodNetwork, PodPlan,
    app::{AppError, Applications, PrivatePorts},
    network::ports,
    proxies::{node, proxy},
    town::Town,
};
use crate::console::span;

/// An application that does not answer within this time is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// A pod that leaves waits so long for its callers to know.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
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
        span(ANSWER_LIMIT)
    )]
    Silent,
}

/// What is made of a pod once it runs.
struct Running {
    sidecar: Sidecar,
    applications: Applications,
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
    drain: DrainWatch,
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

fn reference(plan: &PodPlan) -> ResourceRef {
    ResourceRef::new("", "Pod", &plan.key.namespace, &plan.key.name)
}

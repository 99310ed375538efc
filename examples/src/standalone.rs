//! One proxy without a control plane, on Envoy's own bootstrap file.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use mesh_core::{
    dataplane::{Node, NodeKind},
    name::{Labels, Locality},
};
use mesh_proxy::{
    DrainSignal, Proxy, ProxyOptions,
    admin::{AdminServer, Pages},
    net::SystemNetwork,
    telemetry::LogTarget,
};
use mesh_tls::TlsContext;
use mesh_xds::bootstrap::{Bootstrap, BootstrapError};

/// Why a standalone proxy cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandaloneError {
    /// The file cannot be read, or a thread or socket not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file cannot be run.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Parts of it cannot be put in force.
    #[error("refused: {0}")]
    Refused(String),
}

/// Runs a proxy on a bootstrap file until `stop` is over, then lets connections end by themselves
/// for a while. Fields of the file that are not used are told to `note`.
pub async fn run(
    file: &Path,
    workers: usize,
    stop: impl Future<Output = ()>,
    note: impl Fn(&str),
) -> Result<(), StandaloneError> {
    let bootstrap = Bootstrap::parse(&fs::read_to_string(file)?)?;
    for problem in &bootstrap.ignored {
        note(&problem.to_string());
    }
    let (signal, drain) = DrainSignal::new();
    let proxy = Proxy::start(ProxyOptions {
        node: bootstrap.node.unwrap_or_else(nobody),
        workers,
        network: Arc::new(SystemNetwork),
        tls: TlsContext::aws_lc(),
        credentials: None,
        exchange_metadata: false,
        log_target: LogTarget::Stdout,
        observer: None,
        drain,
        drain_time: Duration::from_secs(5),
    })?;
    let verdict = proxy.apply(&bootstrap.snapshot).await;
    if let Some(refusal) = verdict.refusals.first() {
        return Err(StandaloneError::Refused(refusal.to_string()));
    }
    let pages = AdminServer::new(proxy.handle(), Pages::All);
    let admin = bootstrap
        .admin
        .map(|address| pages.start(&SystemNetwork, address))
        .transpose()?;
    stop.await;
    signal.start();
    proxy.run_as_is().await;
    if let Some((_, serving)) = admin {
        serving.abort();
    }
    Ok(())
}

/// A proxy of which the file says nothing.
fn nobody() -> Node {
    Node {
        kind: NodeKind::Gateway,
        addresses: Vec::new(),
        name: String::new(),
        namespace: String::new(),
        service_account: String::new(),
        workload: String::new(),
        labels: Labels::default(),
        locality: Locality::default(),
        cluster_id: String::new(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

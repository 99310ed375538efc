//! A proxy of one's own: a plan by hand, one listener, one destination, and a line for whatever passed.
//!
//! `cargo run -p mesh-proxy --example custom_proxy -- 127.0.0.1:8080 127.0.0.1:9080`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{env, error::Error, sync::Arc, time::Duration};

use mesh_core::dataplane::{Cluster, Discovery, EndpointSet, Snapshot};
use mesh_proxy::{DrainSignal, Proxy, ProxyOptions, net::SystemNetwork, telemetry};
use mesh_tls::TlsContext;

/// Prints what it is told.
struct Printer;

impl telemetry::Observer for Printer {
    fn request(&self, record: &telemetry::RequestRecord) {
        let status = record.status.map_or(0, |status| status.as_u16());
        println!(
            "{} {} → {status} {}",
            record.method, record.uri, record.flags
        );
    }

    fn connection(&self, record: &telemetry::TcpRecord) {
        let (from, to) = (record.bytes_received, record.bytes_sent);
        println!(
            "{} sent {from} bytes, got {to} {}",
            record.connection.remote, record.flags
        );
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut addresses = env::args().skip(1);
    let listen = addresses.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let call = addresses.next().unwrap_or_else(|| "127.0.0.1:9080".into());
    let destination = EndpointSet::single("app", call.parse()?);
    let cluster = Cluster::new("app", Discovery::Static(destination));
    let mut plan = Snapshot::default();
    plan.clusters.insert("app".into(), Arc::new(cluster));
    plan.listeners
        .push(Arc::new(plan::pass_on(listen.parse()?, "app")));

    let (_signal, drain) = DrainSignal::new();
    let proxy = Proxy::start(ProxyOptions {
        node: plan::node(),
        workers: 2,
        network: Arc::new(SystemNetwork),
        tls: TlsContext::aws_lc(),
        credentials: None,
        exchange_metadata: false,
        log_target: telemetry::LogTarget::Discard,
        observer: Some(Arc::new(Printer)),
        drain,
        drain_time: Duration::from_secs(5),
    })?;
    if let Some(refusal) = proxy.apply(&plan).await.refusals.first() {
        return Err(refusal.to_string().into());
    }
    println!("{listen} goes to {call}");
    proxy.run_as_is().await;
    Ok(())
}

/// The parts of a plan that a control plane would fill in.
mod plan {
    use std::net::SocketAddr;

    use mesh_core::{
        dataplane::{
            ChainMatch, Direction, FilterChain, HeaderEdits, Listener, ListenerFilters, Node,
            NodeKind, TcpProxy, Terminal, WeightedCluster,
        },
        name::{Labels, Locality},
    };

    /// A listener that passes connections on to a cluster.
    pub(super) fn pass_on(address: SocketAddr, cluster: &str) -> Listener {
        let destination = WeightedCluster {
            name: cluster.into(),
            weight: 1,
            headers: HeaderEdits::default(),
        };
        let only = FilterChain {
            name: "only".into(),
            matches: ChainMatch::default(),
            tls: None,
            handshake_timeout: None,
            filters: Vec::new(),
            terminal: Terminal::Tcp(TcpProxy {
                stat_prefix: cluster.into(),
                clusters: vec![destination],
                tunnel: None,
                hash_source: false,
                idle_timeout: None,
                access_log: Vec::new(),
                origin: None,
            }),
        };
        Listener {
            name: "main".into(),
            address,
            bind_to_port: true,
            direction: Direction::Outbound,
            use_original_dst: false,
            listener_filters: ListenerFilters::default(),
            filter_chains: vec![only],
            default_filter_chain: None,
            access_log: Vec::new(),
        }
    }

    /// Who we are.
    pub(super) fn node() -> Node {
        Node {
            kind: NodeKind::Gateway,
            addresses: Vec::new(),
            name: "custom".into(),
            namespace: "default".into(),
            service_account: "default".into(),
            workload: "custom".into(),
            labels: Labels::default(),
            locality: Locality::default(),
            cluster_id: "Kubernetes".into(),
            domain: "cluster.local".into(),
            http_proxy_port: None,
        }
    }
}

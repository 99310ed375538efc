//! Both sides over loopback sockets.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod control;
mod link;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mesh_core::{
    dataplane::{ConfigFeed, Node, NodeKind, Update, Verdict},
    name::{Labels, Locality},
};
use mesh_xds::{SnapshotCache, XdsClient, XdsServer};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tonic::transport::{Endpoint, Server, server::TcpIncoming};

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(30);

fn node(name: &str) -> Node {
    Node {
        kind: NodeKind::Sidecar,
        addresses: vec![Ipv4Addr::new(127, 1, 0, 1).into()],
        name: name.into(),
        namespace: "default".into(),
        service_account: "web".into(),
        workload: "web".into(),
        labels: Labels::from_iter([("app", "web")]),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

fn serve(listener: TcpListener, server: XdsServer) -> JoinHandle<()> {
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(async move {
        let served = Server::builder()
            .add_service(server)
            .serve_with_incoming(incoming);
        served.await.unwrap();
    })
}

fn open_server(cache: &SnapshotCache) -> XdsServer {
    XdsServer::new(cache.clone()).authorize_with(|_, _| Ok(()))
}

fn client(address: SocketAddr, node: Node) -> XdsClient {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    XdsClient::new(endpoint.connect_lazy(), node)
}

async fn next(client: &mut XdsClient) -> Update {
    timeout(LIMIT, client.next())
        .await
        .expect("an update comes")
        .unwrap()
}

/// Follows and accepts everything for good.
fn follow(mut client: XdsClient) -> JoinHandle<()> {
    tokio::spawn(async move {
        while client.next().await.is_some() {
            client.reply(Verdict::default()).await;
        }
    })
}

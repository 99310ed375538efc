//! Serves a snapshot and follows it, in one process over loopback.
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::net::Ipv4Addr;

use mesh_core::{
    dataplane::{
        Cluster, ConfigFeed, Discovery, EndpointSet, Name, Node, NodeKind, Snapshot, Verdict,
    },
    name::{Labels, Locality},
};
use mesh_xds::{SnapshotCache, XdsClient, XdsServer};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server, server::TcpIncoming};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let cache = SnapshotCache::default();
    // Over TLS the default rule holds callers to their SPIFFE IDs; here there are none.
    let server = XdsServer::new(cache.clone()).authorize_with(|_, _| Ok(()));
    tokio::spawn(
        Server::builder()
            .add_service(server)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );

    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
    let mut client = XdsClient::new(channel, node());
    for (version, port) in [(1, 9080), (2, 9081)] {
        cache.put(&node(), version, &snapshot(port));
        let update = client.next().await.ok_or("the server has nothing more")?;
        for set in update.snapshot.endpoints.values() {
            for endpoint in set.endpoints() {
                println!("{} is at {}", set.name, endpoint.address);
            }
        }
        client.reply(Verdict::default()).await;
    }
    Ok(())
}

fn snapshot(port: u16) -> Snapshot {
    let name = Name::from("outbound|9080||reviews.default.svc.cluster.local");
    let cluster = Cluster::new(name.clone(), Discovery::Told(name.clone()));
    let endpoints = EndpointSet::single(name.clone(), (Ipv4Addr::new(10, 0, 0, 7), port).into());
    let mut snapshot = Snapshot::default();
    snapshot.clusters.insert(name.clone(), cluster.into());
    snapshot.endpoints.insert(name, endpoints.into());
    snapshot
}

fn node() -> Node {
    Node {
        kind: NodeKind::Sidecar,
        addresses: vec![Ipv4Addr::new(10, 0, 0, 1).into()],
        name: "productpage-v1-0".into(),
        namespace: "default".into(),
        service_account: "bookinfo-productpage".into(),
        workload: "productpage-v1".into(),
        labels: Labels::from_iter([("app", "productpage")]),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

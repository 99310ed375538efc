use std::sync::Arc;

use mesh_core::dataplane::{
    Cluster, ConfigFeed, Discovery, EndpointSet, Name, Refusal, ResourceType, Snapshot, Verdict,
};
use mesh_xds::{LinkState, SnapshotCache, XdsServer};
use tokio::{net::TcpListener, time::timeout};

use crate::{LIMIT, client, follow, listen, next, node, open_server, serve};

fn snapshot(names: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for &name in names {
        let name = Name::from(name);
        let cluster = Cluster::new(name.clone(), Discovery::Told(name.clone()));
        let set = EndpointSet::single(name.clone(), ([127, 0, 0, 1], 80).into());
        snapshot.clusters.insert(name.clone(), cluster.into());
        snapshot.endpoints.insert(name, set.into());
    }
    snapshot
}

#[tokio::test]
async fn a_snapshot_arrives_whole_and_is_accepted() {
    let cache = SnapshotCache::default();
    let listener = listen().await;
    let mut client = client(listener.local_addr().unwrap(), node("web-1"));
    serve(listener, open_server(&cache));
    cache.put(&node("web-1"), 1, &snapshot(&["a", "b"]));
    let first = next(&mut client).await.snapshot;
    assert_eq!(first.clusters, snapshot(&["a", "b"]).clusters);
    assert_eq!(first.endpoints, snapshot(&["a", "b"]).endpoints);
    client.reply(Verdict::default()).await;
    cache.put(&node("web-1"), 2, &snapshot(&["a", "c"]));
    let second = next(&mut client).await.snapshot;
    assert!(Arc::ptr_eq(&first.clusters["a"], &second.clusters["a"]));
    client.reply(Verdict::default()).await;
    let following = follow(client);
    let ids = [node("web-1").id()];
    let status = timeout(LIMIT, cache.wait_applied(&ids, 2)).await.unwrap();
    let status = &status[&ids[0]];
    assert_eq!(status.planned, 2);
    assert!(status.refused.is_empty());
    following.abort();
}

#[tokio::test]
async fn a_refusal_is_told() {
    let cache = SnapshotCache::default();
    let listener = listen().await;
    let mut client = client(listener.local_addr().unwrap(), node("web-1"));
    serve(listener, open_server(&cache));
    cache.put(&node("web-1"), 1, &snapshot(&["a"]));
    next(&mut client).await;
    let refusal = Refusal {
        resource_type: ResourceType::Cluster,
        name: "a".into(),
        reason: "not to my taste".into(),
    };
    client
        .reply(Verdict {
            refusals: vec![refusal],
        })
        .await;
    let following = follow(client);
    let ids = [node("web-1").id()];
    let status = timeout(LIMIT, cache.wait_applied(&ids, 1)).await.unwrap();
    let refused = &status[&ids[0]].refused;
    assert_eq!(
        refused[&ResourceType::Cluster],
        "cluster a: not to my taste"
    );
    following.abort();
}

#[tokio::test]
async fn who_cannot_prove_its_name_is_not_served() {
    let cache = SnapshotCache::default();
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), node("web-1"));
    serve(listener, XdsServer::new(cache.clone()));
    cache.put(&node("web-1"), 1, &snapshot(&["a"]));
    let mut state = client.state();
    let following = follow(client);
    let lost = state.wait_for(|state| matches!(state, LinkState::Lost(_)));
    let LinkState::Lost(reason) = timeout(LIMIT, lost).await.unwrap().unwrap().clone() else {
        panic!("not lost")
    };
    assert!(reason.contains("SPIFFE"), "{reason}");
    following.abort();
}

#[tokio::test]
async fn a_server_may_go_and_come_back() {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let mut client = client(address, node("web-1"));
    let cache = SnapshotCache::default();
    cache.put(&node("web-1"), 1, &snapshot(&["a"]));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tonic::transport::Server::builder()
        .add_service(open_server(&cache))
        .serve_with_incoming_shutdown(
            tonic::transport::server::TcpIncoming::from(listener),
            async { drop(stopped.await) },
        );
    let server = tokio::spawn(server);
    let before = next(&mut client).await.snapshot;
    client.reply(Verdict::default()).await;
    drop(stop);
    // Streams have no end of their own, so stopping gracefully would wait for them.
    server.abort();
    drop(server.await);
    drop(cache);
    let mut state = client.state();
    let coming = tokio::spawn(async move { (next(&mut client).await, client) });
    let lost = state.wait_for(|state| matches!(state, LinkState::Lost(_)));
    timeout(LIMIT, lost).await.unwrap().unwrap();
    // A new server, which has nothing for this node yet, takes nothing away.
    let cache = SnapshotCache::default();
    let listener = TcpListener::bind(address).await.unwrap();
    serve(listener, open_server(&cache));
    let open = state.wait_for(|state| *state == LinkState::Open);
    timeout(LIMIT, open).await.unwrap().unwrap();
    cache.put(&node("web-1"), 1, &snapshot(&["a", "b"]));
    let (after, _) = timeout(LIMIT, coming).await.unwrap().unwrap();
    assert_eq!(after.snapshot.clusters.len(), 2);
    assert!(Arc::ptr_eq(
        &before.clusters["a"],
        &after.snapshot.clusters["a"]
    ));
}

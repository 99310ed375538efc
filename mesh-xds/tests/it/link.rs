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
    let cache = SnapshotCache::default();
    cache.put(&node("web-1"), 1, &snapshot(&["a"]));
    // A runtime of its own, so that all of the server can be made to vanish.
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let server = open_server(&cache);
    let started = elsewhere.spawn(async move {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        serve(listener, server);
        address
    });
    let address = started.await.unwrap();
    let mut client = client(address, node("web-1"));
    let before = next(&mut client).await.snapshot;
    client.reply(Verdict::default()).await;
    elsewhere.shutdown_background();
    let mut state = client.state();
    let coming = tokio::spawn(async move { next(&mut client).await });
    let lost = state.wait_for(|state| matches!(state, LinkState::Lost(_)));
    timeout(LIMIT, lost).await.unwrap().unwrap();
    // A new server, which has nothing for this node yet, takes nothing away.
    let cache = SnapshotCache::default();
    let listener = TcpListener::bind(address).await.unwrap();
    serve(listener, open_server(&cache));
    let mut changes = cache.changes();
    while cache.connected().is_empty() {
        timeout(LIMIT, changes.changed()).await.unwrap().unwrap();
    }
    cache.put(&node("web-1"), 1, &snapshot(&["a", "b"]));
    let after = timeout(LIMIT, coming).await.unwrap().unwrap().snapshot;
    assert_eq!(after.clusters.len(), 2);
    assert!(Arc::ptr_eq(&before.clusters["a"], &after.clusters["a"]));
}

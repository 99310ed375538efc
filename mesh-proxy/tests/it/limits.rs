//! What a cluster may be given at once, and who is left out.

use std::{sync::Arc, time::Duration};

use http::{Method, Response};
use mesh_core::dataplane::{Balancing, CircuitLimits, OutlierDetection};
use tokio::{io::AsyncWriteExt, sync::Semaphore};

use crate::{
    plans::{cluster, simple, to},
    running::Running,
    wire::{Client, Origin, full, get, read_head, request, scripted},
};

/// What happens to a second request while the first is under way.
#[tokio::test]
async fn limits_hold() {
    let one = Some(1);
    let none = CircuitLimits::default();
    for (limits, second) in [
        (none, 200),
        (
            CircuitLimits {
                max_requests: one,
                ..none
            },
            503,
        ),
        (
            CircuitLimits {
                max_connections: one,
                max_pending_requests: Some(0),
                ..none
            },
            503,
        ),
        (
            CircuitLimits {
                max_connections: one,
                ..none
            },
            200,
        ),
    ] {
        let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
        let leave = Arc::new(Semaphore::new(0));
        let leaving = Arc::clone(&leave);
        let app = scripted(move |_, mut stream| {
            let (leave, arrived) = (Arc::clone(&leaving), arrived.clone());
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    arrived.send(()).unwrap();
                    leave.acquire().await.unwrap().forget();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
        .await;
        let mut planned = cluster("app", &[app]);
        planned.limits = limits;
        if limits.max_pending_requests == Some(0) {
            // The very first needs to wait for its connection as well.
            planned.limits.max_pending_requests = Some(1);
        }
        let mut running = Running::start(&simple(to("app"), planned)).await;
        let main = running.main();
        let first = tokio::spawn(async move { get(main, "/").await.status });
        arrival.recv().await.unwrap();
        if limits.max_pending_requests == Some(0) {
            // One waits, the other is too many.
            let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
            for _ in 0..2 {
                let answered = answered.clone();
                tokio::spawn(async move { answered.send(get(main, "/").await) });
            }
            let answer = answers.recv().await.unwrap();
            let told = running.told().await;
            assert_eq!((answer.status, told.flags.as_str()), (second, "UO"));
            assert_eq!(answer.header("x-envoy-overloaded"), Some("true"));
            leave.add_permits(2);
            assert_eq!(answers.recv().await.unwrap().status, 200);
        } else if second == 503 {
            assert_eq!(get(main, "/").await.status, second);
            assert_eq!(running.told().await.flags, "UO");
            leave.add_permits(1);
        } else {
            leave.add_permits(2);
            assert_eq!(get(main, "/").await.status, second);
        }
        assert_eq!(first.await.unwrap(), 200);
    }
}

const NEVER: OutlierDetection = OutlierDetection {
    consecutive_5xx: 3,
    consecutive_gateway_errors: 0,
    consecutive_local_origin_failures: 0,
    split_local_origin: false,
    interval: Duration::from_millis(1),
    base_ejection: Duration::from_secs(3_600),
    max_ejection_percent: 100,
};

#[tokio::test]
async fn failing_instances_are_left_out() {
    let (good, bad) = (Origin::saying(200, "").await, Origin::saying(500, "").await);
    let mut planned = cluster("app", &[bad.address, good.address]);
    planned.balancing = Balancing::RoundRobin;
    planned.outlier = Some(NEVER);
    let plan = simple(to("app"), planned.clone());
    let running = Running::start(&plan).await;
    let mut client = Client::http1(running.main()).await;
    for _ in 0..40 {
        client.send(request(Method::GET, "/", &[])).await;
    }
    assert_eq!(bad.seen().len(), 3);
    // A change that keeps the instance keeps it out; one that stops watching lets it back.
    planned.max_requests_per_connection = Some(1_000);
    running
        .proxy
        .apply(&simple(to("app"), planned.clone()))
        .await;
    for _ in 0..10 {
        assert_eq!(
            client.send(request(Method::GET, "/", &[])).await.status,
            200
        );
    }
    planned.outlier = None;
    running.proxy.apply(&simple(to("app"), planned)).await;
    for _ in 0..10 {
        client.send(request(Method::GET, "/", &[])).await;
    }
    assert_eq!(bad.seen().len(), 8);
}

#[tokio::test]
async fn instances_come_back_when_their_time_is_over() {
    let failures = std::sync::atomic::AtomicU32::new(0);
    let sick = Origin::start(false, move |_| {
        let number = failures.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let status = if number < 3 { 500 } else { 200 };
        Response::builder()
            .status(status)
            .body(full("back"))
            .unwrap()
    })
    .await;
    let good = Origin::saying(200, "").await;
    let mut planned = cluster("app", &[sick.address, good.address]);
    planned.outlier = Some(OutlierDetection {
        base_ejection: Duration::from_millis(1),
        ..NEVER
    });
    let running = Running::start(&simple(to("app"), planned)).await;
    let mut client = Client::http1(running.main()).await;
    while client.send(request(Method::GET, "/", &[])).await.text() != "back" {}
}

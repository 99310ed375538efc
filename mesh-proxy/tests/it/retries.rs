//! Trying again.

use bytes::Bytes;
use http::{Method, Response};
use mesh_core::dataplane::{CircuitLimits, Forward, RetryPolicy, Route, RouteAction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    plans::{cluster, forward, route, simple, to},
    running::Running,
    wire::{self, Client, Origin, full, get, raw, read_head, request, scripted},
};

fn retrying(conditions: &[&str], num_retries: u32) -> Route {
    let policy = RetryPolicy {
        retry_on: conditions.iter().map(|&name| name.to_owned()).collect(),
        retriable_status_codes: vec![503],
        num_retries,
        avoid_previous_hosts: true,
        host_selection_attempts: 5,
        ..RetryPolicy::default()
    };
    let action = Forward {
        retry: Some(policy),
        ..forward("app")
    };
    route("/", RouteAction::Forward(action))
}

/// Says 503 to the first `failures` requests.
async fn flaky(failures: usize) -> Origin {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Origin::start(false, move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let status = if number < failures { 503 } else { 200 };
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await
}

#[tokio::test]
async fn statuses_on_the_list_are_tried_again() {
    for (failures, retries, status, attempts, flags) in [
        (0, 2, 200, 1, "-"),
        (1, 2, 200, 2, "-"),
        (2, 2, 200, 3, "-"),
        (3, 2, 503, 3, "URX"),
        (1, 0, 503, 1, "-"),
    ] {
        let app = flaky(failures).await;
        let rule = retrying(&["retriable-status-codes"], retries);
        let mut running = Running::start(&simple(rule, cluster("app", &[app.address]))).await;
        let answer = get(running.main(), "/").await;
        let told = running.told().await;
        assert_eq!(
            (answer.status, told.attempts, told.flags.as_str()),
            (status, attempts, flags),
            "{failures} failures, {retries} retries"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_avoided() {
    let app = Origin::saying(200, "").await;
    let hosts = [wire::nobody().await, app.address];
    let rule = retrying(&["connect-failure"], 1);
    let running = Running::start(&simple(rule, cluster("app", &hosts))).await;
    let mut client = Client::http1(running.main()).await;
    for _ in 0..20 {
        assert_eq!(
            client.send(request(Method::GET, "/", &[])).await.status,
            200
        );
    }
}

/// Fails the first request when all of it has come, and answers the others.
async fn fails_once(len: usize) -> (std::net::SocketAddr, Origin) {
    let app = Origin::start(false, |seen| {
        Response::new(full(seen.body.len().to_string()))
    })
    .await;
    let behind = app.address;
    let front = scripted(move |number, mut stream| async move {
        if number == 0 {
            read_head(&mut stream).await;
            let mut body = vec![0; len];
            stream.read_exact(&mut body).await.unwrap();
            return;
        }
        let mut app = tokio::net::TcpStream::connect(behind).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut app).await;
    })
    .await;
    (front, app)
}

#[tokio::test]
async fn bodies_are_sent_again_up_to_a_limit() {
    for (len, status) in [(0, 200), (5, 200), (64 * 1024, 200), (1024 * 1024, 503)] {
        let (front, app) = fails_once(len).await;
        let rule = retrying(&["reset"], 1);
        let running = Running::start(&simple(rule, cluster("app", &[front]))).await;
        let mut client = Client::http1(running.main()).await;
        let mut asking = request(Method::POST, "/", &[]);
        let body = Bytes::from(vec![b'x'; len]);
        *asking.body_mut() = full(body.clone());
        let answer = client.send(asking).await;
        assert_eq!(answer.status, status, "{len}");
        if status == 200 {
            assert_eq!(app.seen()[0].body, body, "{len}");
        } else {
            assert!(app.seen().is_empty());
        }
    }
}

#[tokio::test]
async fn retries_are_limited_per_cluster() {
    let app = flaky(100).await;
    let mut planned = cluster("app", &[app.address]);
    planned.limits = CircuitLimits {
        max_retries: Some(0),
        ..CircuitLimits::default()
    };
    let rule = retrying(&["retriable-status-codes"], 5);
    let mut running = Running::start(&simple(rule, planned)).await;
    assert_eq!(get(running.main(), "/").await.status, 503);
    let told = running.told().await;
    assert_eq!((told.attempts, told.flags.as_str()), (1, "UO"));
}

/// An origin that closes kept connections without saying so fails no request.
#[tokio::test]
async fn kept_connections_that_were_closed_fail_nothing() {
    let (closed, mut was_closed) = tokio::sync::mpsc::unbounded_channel();
    let app = scripted(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let running = Running::start(&simple(to("app"), cluster("app", &[app]))).await;
    let mut client = Client::http1(running.main()).await;
    for round in 0..50 {
        let answer = client.send(request(Method::POST, "/", &[])).await;
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        was_closed.recv().await.unwrap();
    }
}

/// What came of a request that was broken off must not reach an instance as if it were whole.
#[tokio::test]
async fn what_was_broken_off_is_not_tried_again() {
    let app = Origin::saying(200, "").await;
    let rule = retrying(&["reset", "5xx"], 3);
    let mut running = Running::start(&simple(rule, cluster("app", &[app.address]))).await;
    let text =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n";
    let answer = raw(running.main(), text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    let told = running.told().await;
    assert_eq!((told.attempts, told.flags.as_str()), (1, "DPE"));
    assert!(app.seen().is_empty(), "{:?}", app.seen());
}

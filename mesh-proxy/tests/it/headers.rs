//! What proxies add, take away and believe.

use mesh_core::dataplane::{Fraction, HttpConnectionManager, Tracing};

use crate::{
    plans::{cluster, http, outbound, plan, to},
    running::Running,
    wire::{Origin, Seen, get_with, raw},
};

/// Sends headers through, and gives what arrives.
async fn through(
    change: impl FnOnce(&mut HttpConnectionManager),
    headers: &[(&str, &str)],
) -> Seen {
    let app = Origin::saying(200, "").await;
    let mut http = http(vec![to("app")]);
    change(&mut http);
    let plan = plan(vec![outbound(http)], vec![cluster("app", &[app.address])]);
    let running = Running::start(&plan).await;
    assert_eq!(get_with(running.main(), "/", headers).await.status, 200);
    app.seen()[0].clone()
}

fn sidecar(_: &mut HttpConnectionManager) {}

fn edge(http: &mut HttpConnectionManager) {
    http.use_remote_address = true;
}

const MINE: [(&str, &str); 6] = [
    ("x-request-id", "mine"),
    ("x-envoy-decorator", "mine"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-client-cert", "By=mine"),
    ("x-custom", "mine"),
];

#[tokio::test]
async fn a_sidecar_believes_its_application() {
    let seen = through(sidecar, &MINE).await;
    for (name, value) in MINE {
        let want = (name != "x-forwarded-client-cert").then_some(value);
        assert_eq!(seen.header(name), want, "{name}");
    }
}

#[tokio::test]
async fn an_edge_believes_nobody() {
    let seen = through(edge, &MINE).await;
    assert_ne!(seen.header("x-request-id"), Some("mine"));
    for (name, want) in [
        ("x-envoy-decorator", None),
        ("x-forwarded-for", Some("10.0.0.1,127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-client-cert", None),
        ("x-custom", Some("mine")),
    ] {
        assert_eq!(seen.header(name), want, "{name}");
    }
}

#[tokio::test]
async fn requests_are_named_and_traced() {
    let tracing = |http: &mut HttpConnectionManager| {
        http.tracing = Some(Tracing::sampling(Fraction::ALL));
    };
    let seen = through(tracing, &[]).await;
    assert_eq!(seen.header("x-request-id").unwrap().len(), 36);
    let parent = seen.header("traceparent").unwrap();
    assert!(
        parent.starts_with("00-") && parent.ends_with("-01"),
        "{parent}"
    );
    assert_eq!(seen.header("x-b3-sampled"), Some("1"));
    assert_eq!(seen.header("x-b3-traceid"), parent.split('-').nth(1));
    let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let seen = through(tracing, &[("traceparent", theirs)]).await;
    assert_eq!(seen.header("traceparent"), Some(theirs));
    assert_eq!(seen.header("x-b3-traceid"), None);
}

#[tokio::test]
async fn what_is_for_one_hop_goes_no_further() {
    let app = Origin::saying(200, "").await;
    let plan = plan(
        vec![outbound(http(vec![to("app")]))],
        vec![cluster("app", &[app.address])],
    );
    let running = Running::start(&plan).await;
    let head = "GET / HTTP/1.1\r\nHost: reviews\r\nConnection: x-one, close\r\n\
        Connection: X-Two, host, x-forwarded-for\r\nX-One: 1\r\nX-Two: 2\r\nKeep-Alive: 5\r\n\
        Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nX-Three: 3\r\n\
        X-Forwarded-For: 10.0.0.1\r\n\r\n";
    let answer = raw(running.main(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = &app.seen()[0];
    for name in [
        "connection",
        "x-one",
        "x-two",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-three"), Some("3"));
    assert_eq!(seen.header("x-forwarded-for"), Some("10.0.0.1"));
}

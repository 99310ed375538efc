//! What both ends tell of one request.

use std::net::SocketAddr;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::harness::{Town, eventually, get};

const REQUEST_ID: &str = "6f1d2c9e-0000-4000-8000-00000000a11e";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// One request to reviews in productpage's place.
async fn call_reviews(town: &Town) {
    let pod = town.mesh.pod("productpage-v1").expect("productpage runs");
    let proxy = SocketAddr::from((pod.address, 15080));
    let stream = TcpStream::connect(proxy).await.expect("its proxy listens");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::get("http://reviews:9080/reviews/0")
        .header("host", "reviews:9080")
        .header("x-request-id", REQUEST_ID)
        .header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"))
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.collect().await.expect("a body");
}

/// The lines of a workload's access log that tell of the request.
async fn lines(town: &Town, workload: &str) -> Vec<String> {
    let pod = town.mesh.pod(workload).expect("it runs");
    let log = town.mesh.logs().join(format!("{}.log", pod.key.name));
    eventually(&format!("{workload}'s access log"), async || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains(REQUEST_ID))
            .map(str::to_owned)
            .collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await
}

/// A series of `istio_requests_total` with all these labels, and a count.
async fn series(town: &Town, workload: &str, labels: &[&str]) -> String {
    let admin = town.mesh.pod(workload).expect("it runs").admin_address();
    eventually(&format!("{workload}: {labels:?}"), async || {
        let page = get(admin, "/stats/prometheus", &[]).await.ok()?;
        assert!(
            page.body
                .contains("istio_request_duration_milliseconds_bucket{")
        );
        let mut lines = page.body.lines();
        let found = lines.find(|line| {
            line.starts_with("istio_requests_total{") && labels.iter().all(|one| line.contains(one))
        });
        found.map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_tell_of_a_request() {
    let town = Town::bookinfo("telemetry").await;
    // Only one version, so that it is clear whose log to read.
    let reviews = town.read("reviews.yaml");
    let to_v2 = reviews
        .replace("weight: 80", "weight: 100")
        .replace("weight: 20", "weight: 0");
    town.write("reviews.yaml", &to_v2).await;
    call_reviews(&town).await;

    let alike = [
        "source_workload=\"productpage-v1\"",
        "source_canonical_service=\"productpage\"",
        "source_principal=\"spiffe://cluster.local/ns/default/sa/bookinfo-productpage\"",
        "destination_workload=\"reviews-v2\"",
        "destination_principal=\"spiffe://cluster.local/ns/default/sa/bookinfo-reviews\"",
        "destination_service=\"reviews.default.svc.cluster.local\"",
        "destination_service_name=\"reviews\"",
        "destination_version=\"v2\"",
        "request_protocol=\"http\"",
        "response_code=\"200\"",
        "response_flags=\"-\"",
    ];
    let with = |more: [&'static str; 2]| alike.into_iter().chain(more).collect::<Vec<_>>();
    let source = with([
        "reporter=\"source\"",
        "connection_security_policy=\"unknown\"",
    ]);
    series(&town, "productpage-v1", &source).await;
    let destination = with([
        "reporter=\"destination\"",
        "connection_security_policy=\"mutual_tls\"",
    ]);
    series(&town, "reviews-v2", &destination).await;

    let [out] = &lines(&town, "productpage-v1").await[..] else {
        panic!("one line per request");
    };
    for part in [
        "\"GET /reviews/0 HTTP/1.1\" 200 - via_upstream",
        "outbound|9080|v2|reviews.default.svc.cluster.local",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let told = lines(&town, "reviews-v2").await;
    // Reviews passes the request id on to ratings, so it tells of two requests.
    let inbound = told.iter().find(|line| line.contains("inbound|9080||"));
    assert!(
        inbound.is_some_and(|line| line.contains(" 200 - via_upstream")),
        "{told:?}"
    );
    let onwards = told.iter().find(|line| line.contains("/ratings/0"));
    assert!(onwards.is_some(), "{told:?}");
    lines(&town, "ratings-v1").await;
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_pages_say_what_is_in_force() {
    let town = Town::bookinfo("admin").await;
    call_reviews(&town).await;
    let pod = town.mesh.pod("productpage-v1").expect("it runs");
    let check = async |page: &str, parts: &[&str]| {
        let answer = get(pod.admin_address(), page, &[]).await.expect("a page");
        assert_eq!(answer.status, 200, "{page}");
        for part in parts {
            assert!(
                answer.body.contains(part),
                "{page}: {part}: {}",
                answer.body
            );
        }
    };
    check("/ready", &["LIVE"]).await;
    let plan = [
        "virtualInbound",
        "outbound|9080|v2|reviews",
        "\"refused\": []",
    ];
    check("/config_dump", &plan).await;
    check(
        "/clusters",
        &["outbound|9080||details.default.svc.cluster.local"],
    )
    .await;
    let identity = "spiffe://cluster.local/ns/default/sa/bookinfo-productpage";
    check("/certs", &[identity, "valid_until"]).await;
    check("/listeners", &["virtualInbound"]).await;
    let dump = get(pod.admin_address(), "/config_dump", &[])
        .await
        .expect("a page");
    assert!(!dump.body.contains("PRIVATE KEY"));
    town.end().await;
}

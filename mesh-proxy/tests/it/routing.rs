//! Where requests go.

use http::Method;
use mesh_core::dataplane::{
    ClusterChoice, Forward, Fraction, HeaderEdits, HeaderValue, Mirror, PathRewrite, PortRedirect,
    Redirect, RouteAction, SchemeRedirect,
};

use crate::{
    plans::{cluster, forward, http, outbound, plan, respond, route, simple, to, weighted},
    running::Running,
    wire::{self, Client, Origin, get, get_with, raw, request},
};

fn edit(name: &str, value: &str) -> Vec<HeaderValue> {
    vec![HeaderValue {
        name: name.into(),
        value: value.into(),
    }]
}

#[tokio::test]
async fn edits_and_rewrites_arrive() {
    let origin = Origin::start(false, |_| {
        let response = http::Response::builder()
            .header("server", "app")
            .header("x-gone", "1");
        response.body(wire::full("hello")).unwrap()
    })
    .await;
    let mut rule = route(
        "/old/",
        RouteAction::Forward(Forward {
            path: Some(PathRewrite::Prefix("/new/".into())),
            host: Some("ratings".into()),
            append_forwarded_host: true,
            ..forward("app")
        }),
    );
    rule.headers = HeaderEdits {
        request_set: edit("x-set", "route %PROTOCOL%"),
        request_add: edit("x-many", "two"),
        request_remove: vec!["x-secret".into()],
        response_set: edit("x-answer", "42"),
        response_remove: vec!["x-gone".into()],
        ..HeaderEdits::default()
    };
    let running = Running::start(&simple(rule, cluster("app", &[origin.address]))).await;
    let sent = [("x-secret", "s"), ("x-many", "one"), ("x-set", "mine")];
    let answer = get_with(running.main(), "/old/a?b=c", &sent).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("x-answer"), Some("42"));
    assert_eq!(answer.header("x-gone"), None);
    assert_eq!(answer.header("server"), Some("istio-envoy"));
    assert!(answer.header("x-envoy-upstream-service-time").is_some());
    let seen = &origin.seen()[0];
    assert_eq!(seen.uri, "/new/a?b=c");
    assert_eq!(seen.header("x-envoy-original-path"), Some("/old/a?b=c"));
    assert_eq!(seen.header("host"), Some("ratings"));
    assert_eq!(seen.header("x-forwarded-host"), Some("reviews"));
    assert_eq!(seen.header("x-set"), Some("route HTTP/1.1"));
    assert_eq!(seen.header("x-secret"), None);
    let many: Vec<_> = seen.headers.get_all("x-many").iter().collect();
    assert_eq!(many, ["one", "two"]);
}

#[tokio::test]
async fn every_way_to_say_the_host() {
    let origin = Origin::saying(200, "").await;
    let running = Running::start(&simple(to("app"), cluster("app", &[origin.address]))).await;
    for (head, path, host) in [
        (
            "GET /a HTTP/1.1\r\nHost: reviews:9080",
            "/a",
            "reviews:9080",
        ),
        ("GET /a HTTP/1.1\r\nhOsT:   reviews  ", "/a", "reviews"),
        (
            "GET http://ratings/b?c HTTP/1.1\r\nHost: reviews",
            "/b?c",
            "ratings",
        ),
        (
            "GET http://ratings:80 HTTP/1.1\r\nHost: reviews",
            "/",
            "ratings:80",
        ),
        ("GET /a/../b HTTP/1.1\r\nHost: reviews", "/b", "reviews"),
        ("GET / HTTP/1.1\r\nHost: [::1]:80", "/", "[::1]:80"),
        ("GET / HTTP/1.1\r\nHost: a.example.", "/", "a.example"),
        ("GET / HTTP/1.1\r\nHost: a.example.:80", "/", "a.example:80"),
    ] {
        let before = origin.seen().len();
        let answer = raw(
            running.main(),
            format!("{head}\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
        let seen = &origin.seen()[before];
        assert_eq!(
            (seen.uri.to_string().as_str(), seen.header("host")),
            (path, Some(host)),
            "{head}"
        );
    }
}

#[tokio::test]
async fn answers_of_our_own() {
    let redirect = Redirect {
        status: 308,
        scheme: SchemeRedirect::Https,
        host: Some("example.com".into()),
        port: Some(PortRedirect::To(8443)),
        path: Some(PathRewrite::Prefix("/new".into())),
        strip_query: false,
    };
    let rules = vec![
        route("/teapot", respond(418, "short and stout")),
        route("/old", RouteAction::Redirect(redirect)),
    ];
    let mut running = Running::start(&plan(vec![outbound(http(rules))], vec![])).await;
    let answer = get(running.main(), "/teapot").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (418, "short and stout")
    );
    assert_eq!(running.told().await.details, "direct_response");
    let answer = get(running.main(), "/old/x?y").await;
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.header("location"),
        Some("https://example.com:8443/new/x?y")
    );
}

/// 90 of 100 among 400: the count stays within bounds that a fair draw leaves once in 10^9 runs.
#[tokio::test]
async fn weights_hold_within_binomial_bounds() {
    const REQUESTS: u32 = 400;
    let (many, few) = (
        Origin::saying(200, "many").await,
        Origin::saying(200, "few").await,
    );
    let split = Forward {
        cluster: ClusterChoice::Weighted(vec![weighted("many", 90), weighted("few", 10)]),
        ..Forward::default()
    };
    let listeners = vec![outbound(http(vec![route(
        "/",
        RouteAction::Forward(split),
    )]))];
    let clusters = vec![
        cluster("many", &[many.address]),
        cluster("few", &[few.address]),
    ];
    let running = Running::start(&plan(listeners, clusters)).await;
    let mut client = Client::http1(running.main()).await;
    for _ in 0..REQUESTS {
        assert_eq!(
            client.send(request(Method::GET, "/", &[])).await.status,
            200
        );
    }
    let hits = u32::try_from(few.seen().len()).unwrap();
    assert_eq!(many.seen().len() as u32 + hits, REQUESTS);
    let (low, high) = binomial_bounds(REQUESTS, 0.1, 5e-10);
    assert!(
        (low..=high).contains(&hits),
        "{hits} is not in {low}..={high}"
    );
}

/// The smallest and largest count that are not in the tails of this probability.
fn binomial_bounds(n: u32, p: f64, tail: f64) -> (u32, u32) {
    let mut mass = (1.0 - p).powi(n as i32);
    let masses: Vec<f64> = (0..=n)
        .map(|k| {
            let this = mass;
            mass *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
            this
        })
        .collect();
    let beyond = |masses: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        masses
            .take_while(|mass| {
                sum += *mass;
                sum < tail
            })
            .count() as u32
    };
    let (low, high) = (beyond(&mut masses.iter()), beyond(&mut masses.iter().rev()));
    (low, n - high)
}

#[tokio::test]
async fn copies_go_to_the_mirror() {
    let (app, mirror) = (
        Origin::saying(200, "app").await,
        Origin::saying(500, "").await,
    );
    let copying = Forward {
        mirrors: vec![Mirror {
            cluster: "mirror".into(),
            share: Fraction::ALL,
        }],
        ..forward("app")
    };
    let listeners = vec![outbound(http(vec![route(
        "/",
        RouteAction::Forward(copying),
    )]))];
    let clusters = vec![
        cluster("app", &[app.address]),
        cluster("mirror", &[mirror.address]),
    ];
    let running = Running::start(&plan(listeners, clusters)).await;
    assert_eq!(get(running.main(), "/x").await.text(), "app");
    while mirror.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let copy = &mirror.seen()[0];
    assert_eq!(copy.header("host"), Some("reviews-shadow"));
    assert_eq!(copy.uri, "/x");
}

//! The services as their callers see them, over real sockets on port zero.

mod peer;

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use self::peer::{Reply, Running, ScriptedPeer, start};
use super::call::{CallError, Caller};
use super::{App, Kind, Neighbour, Neighbours};

fn app(name: &str) -> App {
    App::new(Kind::from_name(name).unwrap(), format!("{name}-pod"))
}

fn at(port: u16) -> Neighbour {
    Neighbour {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

/// A port that is taken, so that no other test gets it, and where nobody listens.
fn dead() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// The whole shop with this version of reviews; what runs must be held on to.
async fn shop(reviews: &str) -> (Running, [Running; 3]) {
    let ratings = start(app("ratings-v1")).await;
    let details = start(app("details-v1")).await;
    let mut reviewing = app(reviews);
    reviewing.neighbours.ratings = at(ratings.port());
    let reviews = start(reviewing).await;
    let neighbours = Neighbours {
        details: at(details.port()),
        reviews: at(reviews.port()),
        ratings: at(ratings.port()),
        ..Neighbours::default()
    };
    let page = start(App {
        neighbours,
        ..app("productpage-v1")
    })
    .await;
    (page, [ratings, details, reviews])
}

fn stars(count: u8, color: &str) -> Value {
    json!({ "stars": count, "color": color })
}

#[tokio::test]
async fn each_version_of_reviews_shows_its_stars() {
    async fn check(name: &str, ratings: [Value; 2], on_page: &str) {
        let (page, _others) = shop(name).await;
        let answer = page.get("/api/v1/products/0/reviews").await;
        let reviews = answer.json();
        assert_eq!(reviews["id"], "0", "{name}");
        assert_eq!(reviews["podname"], format!("{name}-pod"));
        assert_eq!(reviews["clustername"], "null");
        assert_eq!(reviews["version"], name.rsplit('-').next().unwrap());
        for (review, rating) in reviews["reviews"].as_array().unwrap().iter().zip(ratings) {
            assert_eq!(
                review.get("rating").cloned().unwrap_or_default(),
                rating,
                "{name}"
            );
        }
        let html = page.get("/productpage").await.text;
        assert!(
            html.contains(&format!("served by: <b>{name}-pod</b>")),
            "{name}: {html}"
        );
        assert!(html.contains(on_page), "{name}: {html}");
        assert_eq!(html.contains("aria-label"), name != "reviews-v1", "{name}");
    }
    check(
        "reviews-v1",
        [Value::Null, Value::Null],
        "<article class=\"card\"><blockquote>",
    )
    .await;
    check(
        "reviews-v2",
        [stars(5, "black"), stars(4, "black")],
        "stars black",
    )
    .await;
    check(
        "reviews-v3",
        [stars(5, "red"), stars(4, "red")],
        "stars red",
    )
    .await;
}

#[tokio::test]
async fn every_url_of_the_page_answers() {
    let (page, _others) = shop("reviews-v1").await;
    let check = async |path: &str, status: u16, content_type: &str, part: &str| {
        let answer = page.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), content_type, "{path}");
        assert!(answer.text.contains(part), "{path}: {}", answer.text);
    };
    let html = "text/html; charset=utf-8";
    check("/", 200, html, "href=\"/productpage\"").await;
    check(
        "/productpage",
        200,
        html,
        "<title>Simple Bookstore App</title>",
    )
    .await;
    check(
        "/productpage",
        200,
        html,
        "<dt>Author</dt><dd>William Shakespeare</dd>",
    )
    .await;
    check(
        "/productpage",
        200,
        html,
        "<form method=\"post\" action=\"/login\"",
    )
    .await;
    check("/health", 200, "text/plain", "healthy").await;
    check("/static/logo.svg", 200, "image/svg+xml", "<svg").await;
    check("/static/bookinfo.css", 200, "text/css", ".stars.red").await;
    check("/static/nothing", 404, "application/json", "error").await;
    check(
        "/api/v1/products",
        200,
        "application/json",
        "\"descriptionHtml\"",
    )
    .await;
    check("/api/v1/products/0", 200, "application/json", "\"ISBN-10\"").await;
    check("/api/v1/products/7", 200, "application/json", "\"id\":7").await;
    check(
        "/api/v1/products/0/ratings",
        200,
        "application/json",
        "\"Reviewer1\":5",
    )
    .await;
    check("/api/v1/products/0/price", 404, "application/json", "error").await;
    check("/api/v1/products/zero", 400, "application/json", "number").await;
}

#[tokio::test]
async fn a_page_brings_all_it_needs() {
    let (page, _others) = shop("reviews-v2").await;
    let html = page.get("/productpage").await.text;
    for outside in ["src=\"http", "href=\"//", "src=\"//", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn reviews_without_ratings_are_better_than_none() {
    for name in ["reviews-v2", "reviews-v3"] {
        let mut reviewing = app(name);
        let (_taken, port) = dead();
        reviewing.neighbours.ratings = at(port);
        let reviews = start(reviewing).await;
        let answer = reviews.get("/reviews/0").await;
        assert_eq!(answer.status, 200);
        let rating = &answer.json()["reviews"][1]["rating"];
        assert_eq!(
            *rating,
            json!({ "error": "Ratings service is currently unavailable" })
        );
    }
}

#[tokio::test]
async fn a_page_without_neighbours_says_what_is_missing() {
    let (_taken, port) = dead();
    let neighbours = Neighbours {
        details: at(port),
        reviews: at(port),
        ratings: at(port),
        ..Neighbours::default()
    };
    let page = start(App {
        neighbours,
        ..app("productpage-v1")
    })
    .await;
    let html = page.get("/productpage").await;
    assert_eq!(html.status, 200);
    for what in ["details", "reviews"] {
        let told = format!("Error fetching product {what}!");
        assert!(html.text.contains(&told), "{}", html.text);
        let sorry = format!("Sorry, product {what} are currently unavailable for this book.");
        assert!(html.text.contains(&sorry), "{}", html.text);
    }
    let api = page.get("/api/v1/products/0/reviews").await;
    assert_eq!(api.status, 500);
    let sorry = "Sorry, product reviews are currently unavailable for this book.";
    assert_eq!(api.json(), json!({ "error": sorry }));
}

#[tokio::test]
async fn what_a_proxy_refuses_is_passed_on_and_reviews_are_asked_twice() {
    let proxy = ScriptedPeer::start(|_head| Reply::text(403, "RBAC: access denied")).await;
    let page = start(App {
        proxy: Some(proxy.address),
        ..app("productpage-v1")
    })
    .await;
    assert_eq!(page.get("/api/v1/products/0").await.status, 403);
    assert_eq!(page.get("/api/v1/products/0/ratings").await.status, 403);
    assert_eq!(proxy.heads().len(), 2);
    assert_eq!(page.get("/api/v1/products/0/reviews").await.status, 403);
    assert_eq!(proxy.heads().len(), 4);
    let html = page.get("/productpage").await.text;
    assert!(html.contains("reviews: answered 403 Forbidden"), "{html}");
}

#[tokio::test]
async fn calls_pass_a_proxy_in_absolute_form_over_a_kept_connection() {
    let proxy = ScriptedPeer::start(|_head| Reply::json("{\"id\":0,\"ratings\":{}}")).await;
    let reviews = start(App {
        proxy: Some(proxy.address),
        ..app("reviews-v2")
    })
    .await;
    for id in 0..3 {
        assert_eq!(reviews.get(&format!("/reviews/{id}")).await.status, 200);
    }
    let heads = proxy.heads();
    assert_eq!(heads[0].line, "GET http://ratings:9080/ratings/0 HTTP/1.1");
    assert_eq!(heads[2].line, "GET http://ratings:9080/ratings/2 HTTP/1.1");
    assert_eq!(heads[0].headers["host"], "ratings:9080");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_no_request() {
    let proxy = ScriptedPeer::start(|_head| Reply::json("{\"id\":0,\"ratings\":{}}").last()).await;
    let reviews = start(App {
        proxy: Some(proxy.address),
        ..app("reviews-v2")
    })
    .await;
    for _ in 0..5 {
        let answer = reviews.get("/reviews/0").await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(proxy.connections(), 5);
}

#[tokio::test]
async fn headers_of_a_request_travel_on() {
    let proxy = ScriptedPeer::start(|_head| Reply::text(503, "no healthy upstream")).await;
    let check = async |name: &str, path: &str, sent: &[(&'static str, &str)], on: &[&str]| {
        let running = start(App {
            proxy: Some(proxy.address),
            ..app(name)
        })
        .await;
        let headers: HeaderMap = sent
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let before = proxy.heads().len();
        running.send("GET", path, &headers, "").await;
        for head in &proxy.heads()[before..] {
            let mut travelled: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
            travelled.sort_unstable();
            assert_eq!(travelled, on, "{name}");
        }
        assert!(proxy.heads().len() > before, "{name} called nobody");
    };
    let sent = [
        ("x-request-id", "7"),
        ("traceparent", "00-1-2-01"),
        ("tracestate", "a=b"),
        ("b3", "1-2-1"),
        ("x-b3-traceid", "1"),
        ("end-user", "jason"),
        ("user-agent", "curl"),
        ("authorization", "Bearer t"),
        ("accept", "*/*"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    let all = [
        "authorization",
        "b3",
        "end-user",
        "host",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-b3-traceid",
        "x-request-id",
    ];
    let tracing = [
        "b3",
        "host",
        "traceparent",
        "tracestate",
        "x-b3-traceid",
        "x-request-id",
    ];
    check("productpage-v1", "/productpage", &sent, &all).await;
    check("reviews-v3", "/reviews/0", &sent, &all).await;
    check("details-v2", "/details/0", &sent, &tracing).await;
    let session = [("cookie", "user=jason")];
    check(
        "productpage-v1",
        "/api/v1/products/0",
        &session,
        &["cookie", "end-user", "host"],
    )
    .await;
}

#[tokio::test]
async fn signing_in_and_out_sets_and_ends_the_session() {
    let page = start(app("productpage-v1")).await;
    let none = HeaderMap::new();
    let answer = page
        .send("POST", "/login", &none, "username=jason&passwd=")
        .await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/productpage")
    );
    assert_eq!(
        answer.header("set-cookie"),
        "user=jason; Path=/; HttpOnly; SameSite=Lax"
    );
    let answer = page.get("/logout").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, "/productpage")
    );
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    let answer = page
        .send("POST", "/login", &none, "username=a%0d%0ab")
        .await;
    assert_eq!(answer.status, 400);
    let answer = page.send("PUT", "/productpage", &none, "").await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn details_v2_asks_the_catalogue_and_quotes_its_refusal() {
    async fn check(reply: Reply, status: u16, part: &str) {
        let proxy = ScriptedPeer::start(move |_head| reply.clone()).await;
        let details = start(App {
            proxy: Some(proxy.address),
            ..app("details-v2")
        })
        .await;
        let answer = details.get("/details/0").await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert!(answer.text.contains(part), "{}", answer.text);
        let line = &proxy.heads()[0].line;
        assert!(line.starts_with("GET http://www.googleapis.com:443/books/v1/volumes?q=isbn:"));
    }
    let entry = json!({ "items": [{ "volumeInfo": {
        "authors": ["William Shakespeare"], "publishedDate": "2002-01-01", "pageCount": 64,
        "printType": "BOOK", "language": "en", "publisher": "Dover",
        "industryIdentifiers": [{ "type": "ISBN_10", "identifier": "0486424618" }],
    }}]});
    check(
        Reply::json(&entry.to_string()),
        200,
        "\"ISBN-10\":\"0486424618\"",
    )
    .await;
    check(Reply::json("{}"), 502, "cannot read").await;
    let refusal = "upstream connect error: connection timeout";
    check(Reply::text(503, refusal), 503, refusal).await;
    check(
        Reply::text(404, "no such book"),
        502,
        "404 Not Found: no such book",
    )
    .await;
}

#[tokio::test]
async fn a_service_told_to_stop_closes_its_idle_connections() {
    let ratings = start(app("ratings-v1")).await;
    assert_eq!(ratings.get("/ratings/0").await.status, 200);
    let mut idle = ratings.connect().await;
    assert_eq!(
        idle.send("GET", "/health", &HeaderMap::new(), "")
            .await
            .status,
        200
    );
    ratings.stop().await;
    idle.closed().await;
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let ratings = start(app("ratings-v1")).await;
    let long = " ".repeat(super::MAX_REQUEST_BODY_BYTES + 1);
    let answer = ratings
        .send("POST", "/ratings/0", &HeaderMap::new(), &long)
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_call_has_a_time_limit() {
    let silent = peer::listener().await;
    let address = silent.local_addr().unwrap();
    let caller = Caller::new(Some(address));
    let limit = Duration::from_millis(20);
    let asked = caller
        .get("reviews:9080", "/reviews/0", HeaderMap::new(), limit)
        .await;
    assert!(
        matches!(asked, Err(CallError::TimedOut(passed)) if passed == limit),
        "{asked:?}"
    );
}

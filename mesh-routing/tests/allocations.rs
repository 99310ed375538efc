//! Decisions take nothing from the heap. A binary of its own, since it counts what is allocated.

use std::sync::Arc;

use allocation_counter::measure;
use http::{HeaderMap, Method};
use mesh_core::{dataplane::*, name::Pattern};
use mesh_routing::{RequestHead, Router};

/// Enough rules of every kind for the index over paths, and one that takes the rest.
fn rules() -> Vec<RouteMatch> {
    let text = |pattern| ValueMatch::Text {
        pattern,
        ignore_case: false,
    };
    let header = |name: &str, value| HeaderMatch {
        name: name.into(),
        value,
        invert: false,
        missing_is_empty: false,
    };
    let path = |path| RouteMatch {
        path,
        ..RouteMatch::default()
    };
    let mut rules: Vec<_> = (0..20)
        .flat_map(|number| {
            [
                path(PathMatch::Exact(format!("/exact/{number}"))),
                path(PathMatch::PathSeparatedPrefix(format!(
                    "/segments/{number}"
                ))),
                path(PathMatch::Regex(format!("/regex/{number}/[a-z]+"))),
                path(PathMatch::Regex(format!(".*\\.{number}"))),
                RouteMatch {
                    ignore_case: true,
                    ..path(PathMatch::Prefix(format!("/Folded/{number}/")))
                },
            ]
        })
        .collect();
    let with_headers = |name: &str, headers| RouteMatch {
        headers,
        ..path(PathMatch::Prefix(format!("/{name}")))
    };
    rules.extend([
        with_headers(
            "header",
            vec![header("x", text(Pattern::Exact("a,b".into())))],
        ),
        with_headers(
            "expression",
            vec![header("x", text(Pattern::Regex("a.*".into())))],
        ),
        with_headers(
            "whole",
            vec![header(":path", text(Pattern::Suffix("q=1".into())))],
        ),
        RouteMatch {
            query: vec![QueryMatch {
                name: "q".into(),
                value: text(Pattern::Exact("1".into())),
            }],
            ..path(PathMatch::Prefix("/query".into()))
        },
        RouteMatch {
            fraction: Some(Fraction::per_million(1_000_000)),
            ..path(PathMatch::Prefix("/share".into()))
        },
        path(PathMatch::Prefix("/rest".into())),
    ]);
    rules
}

fn table() -> Arc<RouteTable> {
    let rules = rules();
    let route = |(number, matches): (usize, RouteMatch)| Route {
        name: number.to_string().into(),
        matches,
        action: RouteAction::Respond(DirectResponse {
            status: 200,
            ..DirectResponse::default()
        }),
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    };
    let host = |domain: &str| VirtualHost {
        name: domain.into(),
        domains: vec![domain.into()],
        routes: rules.iter().cloned().enumerate().map(route).collect(),
        ..VirtualHost::default()
    };
    Arc::new(RouteTable {
        virtual_hosts: ["reviews", "*.example.com", "www.*"].map(host).into(),
        ignore_port_in_host_matching: true,
        ..RouteTable::default()
    })
}

#[test]
fn routing_takes_nothing_from_the_heap() {
    let router = Router::compile(table()).unwrap();
    let mut headers = HeaderMap::new();
    for value in ["a", "b"] {
        headers.append("x", value.parse().unwrap());
    }
    let paths = [
        "/exact/7",
        "/segments/7/x",
        "/regex/7/abc",
        "/some.7",
        "/folded/7/x",
        "/FOLDED/7/x",
        "/header",
        "/expression",
        "/whole",
        "/query",
        "/share",
        "/rest",
        "/none",
    ];
    let hosts = [
        "reviews",
        "Reviews:9080",
        "a.EXAMPLE.com",
        "www.example.org:80",
        "nobody",
    ];
    for path in paths {
        for authority in hosts {
            let head = RequestHead {
                method: &Method::GET,
                path,
                query: Some("p=2&q=1"),
                authority,
                scheme: "http",
                headers: &headers,
                claims: None,
            };
            // Expressions get their scratch space when they are first used.
            let first = router.route(&head, 1).is_ok();
            assert_eq!(
                first,
                path != "/none" && authority != "nobody",
                "{authority}{path}"
            );
            let taken = measure(|| assert_eq!(router.route(&head, 1).is_ok(), first));
            assert_eq!(taken.count_total, 0, "{authority}{path}");
        }
    }
}

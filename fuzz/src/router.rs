use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use mesh_core::{
    dataplane::{
        DirectResponse, Fraction, HeaderEdits, HeaderMatch, PathMatch, QueryMatch, Route,
        RouteAction, RouteMatch, RouteTable, ValueMatch, VirtualHost,
    },
    name::Pattern,
};
use mesh_routing::{RequestHead, Router, router::linear};

use crate::draws::Draws;

/// A small table over few words, so that rules overlap, and the requests that tell them apart.
pub fn router_vs_linear(data: &[u8]) {
    let mut draws = Draws(data);
    let table = Arc::new(table(&mut draws));
    let Ok(router) = Router::compile(table.clone()) else {
        return;
    };
    loop {
        compare(&table, &router, &mut draws);
        if draws.is_empty() {
            break;
        }
    }
}

fn compare(table: &RouteTable, router: &Router, draws: &mut Draws<'_>) {
    let method = draws.pick(&[&Method::GET, &Method::POST, &Method::CONNECT]);
    let headers = headers(draws);
    let head = RequestHead {
        method,
        path: draws.pick(PATHS),
        query: draws.pick(&[
            None,
            Some(""),
            Some("q=1"),
            Some("q=1&q=2"),
            Some("w&q"),
            Some("&="),
        ]),
        authority: draws.pick(AUTHORITIES),
        scheme: draws.pick(&["http", "https"]),
        headers: &headers,
        claims: None,
    };
    let seed = draws.below(256) as u64;
    let fast = router.route(&head, seed).map(|matched| matched.id);
    assert_eq!(
        fast,
        linear::route(table, &head, seed),
        "{head:?} in {table:#?}"
    );
}

const DOMAINS: &[&str] = &[
    "*", "a.b", "*.b", "*.a.b", "a.*", "a.b.*", "A.B", "a.b:80", "*.b:80", "a", "*b", "a*",
    "[::1]", "[::1]:80", "a.b.c", "*.c",
];
const AUTHORITIES: &[&str] = &[
    "a.b", "a.b:80", "A.b", "a", "b", "c.a.b", "a.b.c", "a.", ".b", "", ":80", "[::1]", "[::1]:80",
    "::1", "a.b:x", "x.b:80", "ab",
];
const PATHS: &[&str] = &[
    "/", "/a", "/a/", "/a/b", "/A", "/ab", "", "/a//b", "*", "/b/a/b", "/é", "/a%2Fb",
];
const PATH_WORDS: &[&str] = &["/", "/a", "/a/", "/a/b", "/A", "/ab", "", "a", "/é", "/b"];
const REGEXES: &[&str] = &[
    ".*", "/a.*", "/(a|b)", "a", "(?i)/A", "", "/a)|(/b", "(", "/[^/]+", "^/a$",
];
const HEADERS: &[&str] = &["x", "y", "content-type", "host"];
const CONDITIONS: &[&str] = &[
    "x",
    "y",
    ":method",
    ":authority",
    ":path",
    ":scheme",
    "host",
];
const VALUES: &[&str] = &[
    "",
    "1",
    "2",
    "a",
    "A",
    "a,1",
    "GET",
    "/a",
    "http",
    "application/grpc",
    "-5",
];

fn table(draws: &mut Draws<'_>) -> RouteTable {
    let hosts = 1 + draws.below(3);
    RouteTable {
        name: "9080".into(),
        virtual_hosts: (0..hosts).map(|_| virtual_host(draws)).collect(),
        ignore_port_in_host_matching: draws.bool(),
        headers: HeaderEdits::default(),
    }
}

fn virtual_host(draws: &mut Draws<'_>) -> VirtualHost {
    let domains = 1 + draws.below(3);
    // Past the point where a router may prefer an index over paths to trying every rule.
    let routes = draws.pick(&[1, 2, 3, 4, 8, 24]);
    VirtualHost {
        domains: (0..domains).map(|_| draws.pick(DOMAINS).into()).collect(),
        routes: (0..routes).map(|_| route(draws)).collect(),
        ..VirtualHost::default()
    }
}

fn route(draws: &mut Draws<'_>) -> Route {
    Route {
        name: "".into(),
        matches: rule(draws),
        action: RouteAction::Respond(DirectResponse::default()),
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    }
}

fn rule(draws: &mut Draws<'_>) -> RouteMatch {
    RouteMatch {
        path: path(draws),
        ignore_case: draws.bool(),
        headers: draws.few(header),
        query: draws.few(query),
        claims: Vec::new(),
        fraction: draws
            .pick(&[None, None, None, Some(500_000)])
            .map(Fraction::per_million),
        grpc: draws.pick(&[false, false, false, true]),
    }
}

fn path(draws: &mut Draws<'_>) -> PathMatch {
    let word = draws.pick(PATH_WORDS).to_owned();
    match draws.below(9) {
        0 | 1 => PathMatch::Exact(word),
        2..5 => PathMatch::Prefix(word),
        5 | 6 => PathMatch::PathSeparatedPrefix(word),
        7 => PathMatch::Regex(draws.pick(REGEXES).into()),
        _ => PathMatch::Connect,
    }
}

fn header(draws: &mut Draws<'_>) -> HeaderMatch {
    HeaderMatch {
        name: draws.pick(CONDITIONS).into(),
        value: value(draws),
        invert: draws.bool(),
        missing_is_empty: draws.bool(),
    }
}

fn query(draws: &mut Draws<'_>) -> QueryMatch {
    QueryMatch {
        name: draws.pick(&["q", "w", ""]).into(),
        value: value(draws),
    }
}

fn value(draws: &mut Draws<'_>) -> ValueMatch {
    let word = draws.pick(VALUES).to_owned();
    let pattern = match draws.below(7) {
        0 => return ValueMatch::Present,
        1 => return ValueMatch::Range { start: -5, end: 2 },
        2 => Pattern::Prefix(word),
        3 => Pattern::Suffix(word),
        4 => Pattern::Contains(word),
        5 => Pattern::Regex(draws.pick(REGEXES).into()),
        _ => Pattern::Exact(word),
    };
    ValueMatch::Text {
        pattern,
        ignore_case: draws.bool(),
    }
}

fn headers(draws: &mut Draws<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..draws.below(4) {
        let value = match draws.below(8) {
            0 => HeaderValue::from_bytes(b"\xff").expect("an opaque byte is a header value"),
            _ => HeaderValue::from_static(draws.pick(VALUES)),
        };
        headers.append(draws.pick(HEADERS), value);
    }
    headers
}

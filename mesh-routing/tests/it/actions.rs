//! What becomes of requests: rewrites and redirects of `testdata/rewrites.toml`, header edits, CORS,
//! hashes, faults.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use mesh_core::{dataplane::*, name::Pattern};
use mesh_routing::{
    NoRoute, Router,
    action::{Cors, CorsAnswer, EditFacts, HashPolicies},
};
use serde::Deserialize;

use crate::{
    cases::{forwarding, read},
    request::Request,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rewrite: Vec<RewriteCase>,
    redirect: Vec<RedirectCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    Exact(String),
    Prefix(String),
    Segments(String),
    Regex(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum New {
    Prefix(String),
    Full(String),
    Regex(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewriteCase {
    at: At,
    new: New,
    path: String,
    want: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedirectCase {
    #[serde(default)]
    request: Request,
    at: Option<At>,
    new: Option<New>,
    /// `https` asks for HTTPS in Envoy's own way.
    scheme: Option<String>,
    host: Option<String>,
    /// Zero keeps the request's.
    port: Option<u16>,
    #[serde(default)]
    strip_query: bool,
    want: String,
}

impl At {
    fn path(&self) -> PathMatch {
        match self {
            Self::Exact(text) => PathMatch::Exact(text.clone()),
            Self::Prefix(text) => PathMatch::Prefix(text.clone()),
            Self::Segments(text) => PathMatch::PathSeparatedPrefix(text.clone()),
            Self::Regex(text) => PathMatch::Regex(text.clone()),
        }
    }
}

impl New {
    fn rewrite(&self) -> PathRewrite {
        match self {
            Self::Prefix(text) => PathRewrite::Prefix(text.clone()),
            Self::Full(text) => PathRewrite::Full(text.clone()),
            Self::Regex(pattern, substitution) => PathRewrite::Regex(RegexRewrite {
                pattern: pattern.clone(),
                substitution: substitution.clone(),
            }),
        }
    }
}

fn router(route: Route) -> Router {
    Router::compile(Arc::new(table(route))).unwrap()
}

fn table(route: Route) -> RouteTable {
    RouteTable {
        virtual_hosts: vec![VirtualHost {
            domains: vec!["*".into()],
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn at(path: PathMatch) -> Route {
    forwarding(
        "c",
        RouteMatch {
            path,
            ..Default::default()
        },
    )
}

#[test]
fn rewrites() {
    for case in read::<File>("rewrites.toml").rewrite {
        let mut route = at(case.at.path());
        route.action = RouteAction::Forward(Forward {
            cluster: ClusterChoice::Single("c".into()),
            path: Some(case.new.rewrite()),
            ..Default::default()
        });
        let router = router(route);
        let built = Request {
            path: case.path.clone(),
            ..Default::default()
        }
        .build();
        let matched = router.route(&built.head(), 0).unwrap();
        let seen = matched.route.rewritten_path(&built.head());
        assert_eq!(seen, Some(case.want), "{}", case.path);
    }
}

#[test]
fn redirects() {
    for case in read::<File>("rewrites.toml").redirect {
        let mut route = at(case.at.map_or_else(PathMatch::default, |at| at.path()));
        route.action = RouteAction::Redirect(Redirect {
            status: 301,
            scheme: match case.scheme.as_deref() {
                None => SchemeRedirect::Keep,
                Some("https") => SchemeRedirect::Https,
                Some(other) => SchemeRedirect::To(other.into()),
            },
            host: case.host,
            port: case.port.map(|port| match port {
                0 => PortRedirect::FromRequest,
                port => PortRedirect::To(port),
            }),
            path: case.new.map(|new| new.rewrite()),
            strip_query: case.strip_query,
        });
        let router = router(route);
        let built = case.request.build();
        let matched = router.route(&built.head(), 0).unwrap();
        let seen = matched.route.location(&built.head());
        assert_eq!(seen, Some(case.want), "{:?}", case.request);
    }
}

fn written(pairs: &[(&str, &str)]) -> Vec<HeaderValue> {
    let one = |(name, value): &(&str, &str)| HeaderValue {
        name: name.to_string(),
        value: value.to_string(),
    };
    pairs.iter().map(one).collect()
}

fn shown(headers: &HeaderMap) -> Vec<String> {
    let pairs = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}

fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEdits {
    HeaderEdits {
        request_set: written(set),
        request_add: written(add),
        request_remove: remove.iter().map(|name| name.to_string()).collect(),
        ..Default::default()
    }
}

#[test]
fn header_edits_run_from_the_destination_to_the_table() {
    let mut route = at(PathMatch::default());
    let destination = WeightedCluster {
        name: "c".into(),
        weight: 1,
        headers: edits(
            &[("who", "destination"), ("only", "destination")],
            &[("seen", "1")],
            &[],
        ),
    };
    route.action = RouteAction::Forward(Forward {
        cluster: ClusterChoice::Weighted(vec![destination]),
        ..Default::default()
    });
    route.headers = edits(&[("who", "route")], &[("seen", "2")], &["gone"]);
    let mut table = table(route);
    table.virtual_hosts[0].headers = edits(&[("who", "host")], &[("seen", "3")], &[]);
    table.headers = edits(&[("who", "table")], &[("seen", "4")], &["late"]);
    table.virtual_hosts[0].headers.response_set =
        written(&[("code", "%RESPONSE_CODE% %RESP(x)% %REQ(y)%")]);
    let router = Router::compile(Arc::new(table)).unwrap();

    let headers = [("gone", "x"), ("late", "x"), ("y", "request")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let built = Request {
        headers: headers.into(),
        ..Default::default()
    }
    .build();
    let head = built.head();
    let matched = router.route(&head, 0).unwrap();
    let destination = matched
        .route
        .forward()
        .unwrap()
        .destination(&head, 0)
        .unwrap();
    let mut request = head.headers.clone();
    let facts = EditFacts {
        request: Some(head),
        ..Default::default()
    };
    matched.edit_request(Some(&destination), &mut request, &facts);
    assert_eq!(
        shown(&request),
        [
            "only: destination",
            "seen: 1",
            "seen: 2",
            "seen: 3",
            "seen: 4",
            "who: table",
            "y: request"
        ]
    );
    let mut response = HeaderMap::new();
    response.insert("x", "response".parse().unwrap());
    let facts = EditFacts {
        response_code: Some(503),
        ..facts
    };
    matched.edit_response(Some(&destination), &mut response, &facts);
    assert_eq!(
        shown(&response),
        ["code: 503 response request", "x: response"]
    );
}

#[test]
fn operators() {
    let headers = [("a", "1"), ("long", "abcdé")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let built = Request {
        method: "PUT".into(),
        path: "/p?q".into(),
        headers: headers.into(),
        ..Default::default()
    }
    .build();
    let facts = EditFacts {
        request: Some(built.head()),
        protocol: Some(http::Version::HTTP_11),
        remote_address: Some("10.0.0.1:1234".parse().unwrap()),
        local_address: Some("[::1]:80".parse().unwrap()),
        peer: Some("spiffe://td/x"),
        route_name: Some("r"),
        cluster: Some("c"),
        ..Default::default()
    };
    for (value, want) in [
        ("plain", Some("plain")),
        ("100%%", Some("100%")),
        ("%PROTOCOL%", Some("HTTP/1.1")),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", Some("10.0.0.1:1234")),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", Some("10.0.0.1")),
        (
            "%DOWNSTREAM_LOCAL_PORT% %ROUTE_NAME% %UPSTREAM_CLUSTER%",
            Some("80 r c"),
        ),
        ("%DOWNSTREAM_PEER_URI_SAN%", Some("spiffe://td/x")),
        ("<%REQ(A)%>", Some("<1>")),
        ("%REQ(:METHOD)% %REQ(:path)%", Some("PUT /p?q")),
        ("%REQ(none?a)%", Some("1")),
        ("%REQ(long):2%", Some("ab")),
        ("%REQ(none)%", None),
        ("%HOSTNAME%", None),
    ] {
        let mut route = at(PathMatch::default());
        route.headers.request_set = written(&[("out", value)]);
        let router = router(route);
        let matched = router.route(&built.head(), 0).unwrap();
        let mut headers = built.head().headers.clone();
        matched.edit_request(None, &mut headers, &facts);
        let seen = headers.get("out").map(|value| value.to_str().unwrap());
        assert_eq!(seen, want, "{value}");
    }
    for bad in [
        "%",
        "%REQ%",
        "%REQ(a%",
        "%REQ(a):x%",
        "%REQ( )%",
        "%START_TIME%",
        "a%b",
    ] {
        let mut route = at(PathMatch::default());
        route.headers.response_add = written(&[("out", bad)]);
        assert!(Router::compile(Arc::new(table(route))).is_err(), "{bad}");
    }
    for name in ["host", ":path", "a b", ""] {
        let mut route = at(PathMatch::default());
        route.headers.request_set = written(&[(name, "x")]);
        assert!(Router::compile(Arc::new(table(route))).is_err(), "{name}");
    }
}

#[test]
fn cors() {
    let policy = CorsPolicy {
        allow_origins: vec![
            Pattern::Exact("https://a.com".into()),
            Pattern::Suffix(".b.com".into()),
        ],
        allow_methods: vec!["GET".into(), "POST".into()],
        allow_headers: vec!["x".into()],
        expose_headers: vec!["y".into(), "z".into()],
        max_age: Some(Duration::from_secs(60)),
        allow_credentials: Some(true),
        forward_unmatched_preflights: true,
    };
    let strict = CorsPolicy {
        forward_unmatched_preflights: false,
        ..policy.clone()
    };
    let any = CorsPolicy {
        allow_origins: vec![Pattern::Exact("*".into())],
        ..Default::default()
    };
    let judge = |policy: &CorsPolicy, method: &str, origin: Option<&str>, preflight: bool| {
        let origin = origin.map(|origin| ("origin".to_owned(), origin.to_owned()));
        let asked = (
            "access-control-request-method".to_owned(),
            "POST".to_owned(),
        );
        let headers = origin
            .into_iter()
            .chain(preflight.then_some(asked))
            .collect();
        let built = Request {
            method: method.into(),
            headers,
            ..Default::default()
        }
        .build();
        let (kind, headers) = match Cors::compile(policy).unwrap().judge(&built.head()) {
            CorsAnswer::Pass => return "pass".to_owned(),
            CorsAnswer::Mark(headers) => ("mark", headers),
            CorsAnswer::Answer(headers) => ("answer", headers),
        };
        let mut map = HeaderMap::new();
        headers.apply(&mut map);
        let text = shown(&map).join(", ").replace("access-control-", "");
        format!("{kind} {text}")
    };
    let told = "allow-credentials: true, allow-headers: x, allow-methods: GET,POST, \
                allow-origin: https://a.com, max-age: 60";
    assert_eq!(
        judge(&policy, "OPTIONS", Some("https://a.com"), true),
        format!("answer {told}")
    );
    assert_eq!(
        judge(&policy, "GET", Some("https://x.b.com"), false),
        "mark allow-credentials: true, allow-origin: https://x.b.com, expose-headers: y,z"
    );
    assert_eq!(
        judge(&policy, "OPTIONS", Some("https://evil.com"), true),
        "pass"
    );
    assert_eq!(
        judge(&strict, "OPTIONS", Some("https://evil.com"), true),
        "answer "
    );
    assert_eq!(
        judge(&strict, "GET", Some("https://evil.com"), false),
        "pass"
    );
    assert_eq!(
        judge(&policy, "OPTIONS", Some("https://x.b.com"), false)
            .split(' ')
            .next(),
        Some("mark")
    );
    assert_eq!(judge(&policy, "GET", None, false), "pass");
    assert_eq!(
        judge(&any, "GET", Some("null"), false),
        "mark allow-origin: null"
    );
}

#[test]
fn hashes() {
    let cookie = |ttl| HashPolicy::Cookie {
        attributes: vec![
            ("SameSite".into(), "Strict".into()),
            ("Secure".into(), String::new()),
        ],
        name: "s".into(),
        path: "/".into(),
        ttl,
    };
    let hash = |policies: &[HashPolicy], headers: &[(&str, &str)], seed| {
        let headers = headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        let built = Request {
            path: "/?k=v".into(),
            headers,
            ..Default::default()
        }
        .build();
        let policies = HashPolicies::compile(policies).unwrap();
        policies.hash(&built.head(), [10, 0, 0, 1].into(), seed)
    };
    let user = HashPolicy::Header("user".into());
    assert_eq!(hash(&[], &[], 0).hash, None);
    assert_eq!(hash(std::slice::from_ref(&user), &[], 0).hash, None);
    let one = hash(std::slice::from_ref(&user), &[("user", "x")], 0);
    assert_eq!(one, hash(std::slice::from_ref(&user), &[("user", "x")], 1));
    assert_ne!(one, hash(std::slice::from_ref(&user), &[("user", "y")], 0));
    assert!(hash(&[HashPolicy::SourceIp], &[], 0).hash.is_some());
    assert!(
        hash(&[HashPolicy::QueryParameter("k".into())], &[], 0)
            .hash
            .is_some()
    );
    let both = [user.clone(), HashPolicy::SourceIp];
    assert_ne!(hash(&both, &[("user", "x")], 0), one);

    let made = hash(&[cookie(Some(Duration::from_secs(9)))], &[], 7);
    let text = made.set_cookie.unwrap();
    let text = text.to_str().unwrap();
    assert!(
        text.ends_with("; Max-Age=9; Path=/; SameSite=Strict; Secure; HttpOnly"),
        "{text}"
    );
    let value = text.split(';').next().unwrap();
    let again = hash(
        &[cookie(Some(Duration::from_secs(9)))],
        &[("cookie", &format!("a=b; {value}"))],
        8,
    );
    assert_eq!((again.hash, again.set_cookie), (made.hash, None));
    assert_eq!(hash(&[cookie(None)], &[], 7).hash, None);
    let session = hash(&[cookie(Some(Duration::ZERO))], &[], 7)
        .set_cookie
        .unwrap();
    assert!(
        session
            .to_str()
            .unwrap()
            .ends_with("\"; Path=/; SameSite=Strict; Secure; HttpOnly")
    );
}

#[test]
fn a_cluster_may_be_named_by_a_header() {
    let mut route = at(PathMatch::default());
    route.action = RouteAction::Forward(Forward {
        cluster: ClusterChoice::Header("x-cluster".into()),
        ..Default::default()
    });
    let router = router(route);
    let with = |headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        let built = Request {
            headers,
            ..Default::default()
        }
        .build();
        let head = built.head();
        let matched = router.route(&head, 0).unwrap();
        let destination = matched.route.forward().unwrap().destination(&head, 0);
        destination.map(|destination| destination.cluster.to_owned())
    };
    assert_eq!(with(&[("x-cluster", "c2")]).as_deref(), Some("c2"));
    assert_eq!(with(&[]), None);
}

#[test]
fn a_share_of_requests() {
    let mut first = at(PathMatch::default());
    first.matches.fraction = Some(Fraction::per_million(250_000));
    let router = router(first);
    let built = Request::default().build();
    let route = |seed| router.route(&built.head(), seed).map(|_| ());
    let met = (0..10_000).filter(|seed| route(*seed) == Ok(())).count();
    assert!((2_280..2_720).contains(&met), "{met}");
    assert!((0..10_000).any(|seed| route(seed) == Err(NoRoute::Rule)));
}

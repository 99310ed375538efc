//! The router against its slow reference, on random tables and requests.

use std::sync::Arc;

use mesh_core::{
    dataplane::*,
    name::{Pattern, ResourceRef},
};
use mesh_routing::{Defect, Instead, RouteId, Router, router::linear};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;

use crate::{cases::forwarding, request::Request};

fn path() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b", "ab", "A", ""]), 0..4)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        4 => path().prop_map(PathMatch::Exact),
        4 => path().prop_map(PathMatch::Prefix),
        4 => path().prop_map(PathMatch::PathSeparatedPrefix),
        3 => select(vec![
            "/a.*", "/[ab]+", ".*", "/a|/b", "/(a/?)*", ".*b", ".*/ab", "(?i)/A/.*", "/a/.*|/b/.*",
            "/\\w+/a", "[^\\W]*", "/[^\\d]b?", ".*(a|b)",
        ])
            .prop_map(|text| PathMatch::Regex(text.into())),
        1 => Just(PathMatch::Connect),
    ]
}

fn value() -> impl Strategy<Value = String> {
    "[abA1]{0,2}"
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    let pattern = prop_oneof![
        value().prop_map(Pattern::Exact),
        value().prop_map(Pattern::Prefix),
        value().prop_map(Pattern::Suffix),
        value().prop_map(Pattern::Contains),
        select(vec!["a+", "[ab]*", "a|1", ""]).prop_map(|text| Pattern::Regex(text.into())),
    ];
    prop_oneof![
        1 => Just(ValueMatch::Present),
        1 => (-1_i64..3, 0_i64..13).prop_map(|(start, end)| ValueMatch::Range { start, end }),
        4 => (pattern, any::<bool>()).prop_map(|(pattern, ignore_case)| ValueMatch::Text {
            pattern,
            ignore_case
        }),
    ]
}

pub(crate) fn header_match() -> impl Strategy<Value = HeaderMatch> {
    let name = select(vec![
        "x",
        "y",
        ":method",
        ":authority",
        ":path",
        ":scheme",
        "host",
    ]);
    (name, value_match(), any::<bool>(), any::<bool>()).prop_map(
        |(name, value, invert, missing_is_empty)| HeaderMatch {
            name: name.into(),
            value,
            invert,
            missing_is_empty,
        },
    )
}

fn route_claim() -> impl Strategy<Value = RouteClaim> {
    let path = select(vec![vec!["group"], vec!["a", "b"]]);
    let values = vec(select(vec!["x", "y"]).prop_map(exact), 1..3);
    (path, values, any::<bool>()).prop_map(|(path, values, invert)| RouteClaim {
        claim: ClaimMatch {
            path: path.into_iter().map(Into::into).collect(),
            values,
        },
        invert,
    })
}

fn exact(text: &str) -> Pattern {
    Pattern::Exact(text.into())
}

fn rule() -> impl Strategy<Value = RouteMatch> {
    let query = (select(vec!["q", "r"]), value_match()).prop_map(|(name, value)| QueryMatch {
        name: name.into(),
        value,
    });
    (
        path_match(),
        any::<bool>(),
        vec(header_match(), 0..2),
        option::weighted(0.1, query),
        option::weighted(0.2, route_claim()),
        option::weighted(0.2, (0_u32..=1_000_000).prop_map(Fraction::per_million)),
        prop::bool::weighted(0.05),
    )
        .prop_map(
            |(path, ignore_case, headers, query, claim, fraction, grpc)| RouteMatch {
                path,
                ignore_case,
                headers,
                query: query.into_iter().collect(),
                claims: claim.into_iter().collect(),
                fraction,
                grpc,
            },
        )
}

fn host() -> impl Strategy<Value = String> {
    let label = || select(vec!["a", "b", "ab", "A"]);
    (
        vec(label(), 1..4),
        option::weighted(0.3, select(vec![":80", ":9", ":"])),
    )
        .prop_map(|(labels, port)| format!("{}{}", labels.join("."), port.unwrap_or_default()))
}

fn domain() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => host(),
        3 => host().prop_map(|host| format!("*.{host}")),
        1 => host().prop_map(|host| format!("*{host}")),
        2 => host().prop_map(|host| format!("{host}.*")),
        1 => Just("*".to_owned()),
    ]
}

/// Domains that stand in the table already are left away, as planners do.
pub(crate) fn table() -> impl Strategy<Value = RouteTable> {
    let virtual_host = (vec(domain(), 1..4), vec(rule(), 0..24));
    (vec(virtual_host, 1..5), any::<bool>()).prop_map(|(hosts, ignore_port)| {
        let mut seen = Vec::new();
        let virtual_hosts = hosts.into_iter().map(|(mut domains, rules)| {
            domains.retain(|domain| {
                let domain = domain.to_ascii_lowercase();
                let new = !seen.contains(&domain);
                seen.push(domain);
                new
            });
            VirtualHost {
                domains,
                routes: rules
                    .into_iter()
                    .map(|rule| forwarding("c", rule))
                    .collect(),
                ..Default::default()
            }
        });
        RouteTable {
            virtual_hosts: virtual_hosts.collect(),
            ignore_port_in_host_matching: ignore_port,
            ..Default::default()
        }
    })
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let query = option::of("[qr](=[ab1]?)?(&[qr]=[ab1]?)?");
    let header = || option::of(vec(value(), 1..3).prop_map(|values| values.join("|")));
    let grpc = prop::bool::weighted(0.2);
    let claims = option::of(select(vec![
        json!({}),
        json!({"group": "x"}),
        json!({"group": ["x", "z"], "a": {"b": "y"}}),
        json!({"group": {"x": "x"}, "a": "y"}),
    ]));
    (
        select(vec!["GET", "POST", "CONNECT"]),
        path(),
        query,
        host(),
        header(),
        header(),
        grpc,
        claims,
    )
        .prop_map(|(method, path, query, host, x, y, grpc, claims)| {
            let x = x.map(|x| ("x".to_owned(), x));
            let y = y.map(|y| ("y".to_owned(), y));
            let content = grpc.then(|| ("content-type".to_owned(), "application/grpc".to_owned()));
            Request {
                method: method.into(),
                path: [Some(path), query]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("?"),
                host,
                scheme: "http".into(),
                headers: x.into_iter().chain(y).chain(content).collect(),
                claims: claims.map(|claims| claims.as_object().unwrap().clone()),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_its_reference(table in table(), requests in vec((request(), any::<u64>()), 1..20)) {
        let table = Arc::new(table);
        let router = Router::compile(Arc::clone(&table)).unwrap();
        for (request, seed) in requests {
            let built = request.build();
            let head = built.head();
            let fast = router.route(&head, seed);
            prop_assert_eq!(fast.map(|matched| matched.id), linear::route(&table, &head, seed));
            let explained = router.explain(&head, seed);
            prop_assert_eq!(explained.chosen.is_some(), fast.is_ok());
            if let Ok(matched) = fast {
                let again = router.by_id(matched.id).unwrap();
                prop_assert_eq!(again.planned, matched.planned);
                prop_assert!(matched.virtual_host.routes.contains(matched.planned));
            }
        }
    }
}

#[test]
fn numbers_name_routes() {
    let host = |name: &str, rules: usize| VirtualHost {
        domains: vec![name.into()],
        routes: (0..rules)
            .map(|rule| forwarding(&format!("{name}{rule}"), RouteMatch::default()))
            .collect(),
        ..Default::default()
    };
    let table = RouteTable {
        virtual_hosts: vec![host("a", 2), host("b", 0), host("c", 1)],
        ..Default::default()
    };
    let router = Router::compile(Arc::new(table)).unwrap();
    let name = |id| {
        router
            .by_id(RouteId(id))
            .map(|matched| matched.planned.name.to_string())
    };
    assert_eq!(router.route_count(), 3);
    assert_eq!(
        [0, 1, 2, 3].map(name),
        [
            Some("a0".into()),
            Some("a1".into()),
            Some("c0".into()),
            None
        ]
    );
}

#[track_caller]
fn refused(edit: impl FnOnce(&mut RouteTable), want: &str) {
    let mut route = forwarding("c", RouteMatch::default());
    let rule = ResourceRef::new(
        "networking.istio.io",
        "VirtualService",
        "default",
        "reviews",
    );
    route.origin = Some(Origin::of(rule));
    let mut table = RouteTable {
        virtual_hosts: vec![VirtualHost {
            domains: vec!["a".into()],
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    };
    edit(&mut table);
    let error = Router::compile(Arc::new(table)).unwrap_err();
    assert_eq!(error.to_string(), want);
}

#[test]
fn refusals_name_field_and_resource() {
    let by = "(from VirtualService default/reviews)";
    refused(
        |table| table.virtual_hosts[0].domains.push("A".into()),
        "virtual_hosts[0].domains[1]: the host \"A\" stands in the table twice",
    );
    refused(
        |table| table.virtual_hosts[0].domains[0] = "a.*.b".into(),
        "virtual_hosts[0].domains[0]: \"a.*.b\" is not a host: it must be exact, \"*.suffix\", \
         \"prefix.*\" or \"*\"",
    );
    refused(
        |table| {
            table.virtual_hosts[0].routes[0].matches.headers = vec![HeaderMatch {
                name: "a b".into(),
                value: ValueMatch::Present,
                invert: false,
                missing_is_empty: false,
            }];
        },
        &format!(
            "virtual_hosts[0].routes[0].matches.headers[0].name: \"a b\" is not the name of a \
             header that may stand here {by}"
        ),
    );
    refused(
        |table| {
            table.virtual_hosts[0].routes[0].headers.request_set = vec![HeaderValue {
                name: "x".into(),
                value: "%NOPE%".into(),
            }];
        },
        &format!(
            "virtual_hosts[0].routes[0].headers.request_set[0].value: the operator \"%NOPE%\" is \
             not supported {by}"
        ),
    );
}

#[test]
fn a_bad_expression_is_refused() {
    let rule = RouteMatch {
        path: PathMatch::Regex("(".into()),
        ..Default::default()
    };
    let table = RouteTable {
        virtual_hosts: vec![VirtualHost {
            routes: vec![forwarding("c", rule)],
            ..Default::default()
        }],
        ..Default::default()
    };
    let error = Router::compile(Arc::new(table)).unwrap_err();
    assert_eq!(error.field, "virtual_hosts[0].routes[0].matches.path");
    assert!(matches!(error.defect, Defect::Pattern(_)));
}

/// A host of one rule for each name; those without an expression match every path.
fn hosts(named: &[(&str, Option<&str>)]) -> Arc<RouteTable> {
    let host = |&(name, regex): &(&str, Option<&str>)| {
        let path = regex.map_or_else(PathMatch::default, |text| PathMatch::Regex(text.into()));
        let matches = RouteMatch {
            path,
            ..Default::default()
        };
        let rule = ResourceRef::new("networking.istio.io", "VirtualService", "default", name);
        VirtualHost {
            name: name.into(),
            domains: vec![name.into()],
            routes: vec![Route {
                origin: Some(Origin::of(rule)),
                ..forwarding(regex.unwrap_or("every"), matches)
            }],
            ..Default::default()
        }
    };
    Arc::new(RouteTable {
        virtual_hosts: named.iter().map(host).collect(),
        ..Default::default()
    })
}

/// The name of the rule that decides, for each host.
fn decided(router: &Router, names: &[&str]) -> Vec<String> {
    let name = |host: &&str| {
        let request = Request {
            method: "GET".into(),
            path: "/a".into(),
            host: (*host).into(),
            scheme: "http".into(),
            headers: Default::default(),
            claims: None,
        };
        let request = request.build();
        let matched = router.route(&request.head(), 0);
        matched.map_or_else(|no| no.to_string(), |m| m.planned.name.to_string())
    };
    names.iter().map(name).collect()
}

#[test]
fn a_bad_virtual_host_holds_nothing_else_back() {
    let names = ["a", "b", "c"];
    let good = hosts(&[("a", None), ("b", Some("/a+"))]);
    let first = Router::compile_over(&good, None).unwrap();
    assert_eq!(first.refused(), []);
    // One rule is broken, another is edited, a third comes new and broken.
    let bad = hosts(&[("a", Some("/a")), ("b", Some("(")), ("c", Some(")"))]);
    let mut router = Router::compile_over(&bad, Some(&first)).unwrap();
    // Told again it is refused again, and the stopgap is taken for no good version.
    for _ in 0..2 {
        assert_eq!(decided(&router, &names), ["/a", "/a+", "refused"]);
        let [b, c] = router.refused() else {
            panic!("{:?}", router.refused())
        };
        assert_eq!((&*b.virtual_host, b.instead), ("b", Instead::LastGood));
        assert_eq!((&*c.virtual_host, c.instead), ("c", Instead::Unavailable));
        let said = b.to_string();
        for part in [
            "virtual host b: virtual_hosts[1].routes[0].matches.path: ",
            "VirtualService default/b",
            "its last good rules stay in force",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(
            c.to_string()
                .ends_with("its requests are answered with 503")
        );
        router = Router::compile_over(&bad, Some(&router)).unwrap();
    }
    let mended = Router::compile_over(&hosts(&[("a", None), ("c", None)]), Some(&router)).unwrap();
    assert_eq!(mended.refused(), []);
    assert_eq!(
        decided(&mended, &names),
        ["every", "no virtual host is for this host", "every"]
    );
}

#[test]
fn a_bad_domain_holds_nothing_else_back() {
    let mut table = RouteTable::clone(&hosts(&[("a", None), ("b", Some("/.*"))]));
    table.virtual_hosts[1].domains = vec!["A".into(), "x.*.y".into(), "c".into()];
    let router = Router::compile_over(&Arc::new(table), None).unwrap();
    assert_eq!(decided(&router, &["a", "c"]), ["every", "/.*"]);
    let said: Vec<_> = router.refused().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "virtual host b: virtual_hosts[1].domains[0]: the host \"A\" stands in the table \
             twice: it is in force without this host",
            "virtual host b: virtual_hosts[1].domains[1]: \"x.*.y\" is not a host: it must be \
             exact, \"*.suffix\", \"prefix.*\" or \"*\": it is in force without this host",
        ]
    );
}

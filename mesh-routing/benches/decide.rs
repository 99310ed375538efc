//! What decisions cost as tables grow.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed bench")]
#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::{collections::HashMap, sync::Arc, time::Instant};

use divan::{AllocProfiler, Bencher, black_box};
use http::{HeaderMap, Method};
use mesh_core::{dataplane::*, name::Pattern};
use mesh_routing::{
    AccessRequest, Authorizer, Balancer, ConnectionFacts, Dice, Loads, RequestHead, Router,
};

/// Counts what is allocated: decisions take nothing from the heap.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
    ratios();
}

/// What growing costs, by numbers of one run.
fn ratios() {
    let growing = |what: &str, cost: &dyn Fn(usize) -> f64| {
        let [few, many] = [10, 10_000].map(cost);
        println!(
            "{what:40} 10: {few:6.1} ns, 10,000: {many:6.1} ns, {:.2} x (at most 1.5 x)",
            many / few
        );
    };
    println!();
    growing("virtual hosts", &|count| {
        let authority = format!("service-{}.default.svc:9080", count / 2);
        cost(&hosts(count), &authority, "/reviews/0")
    });
    for kind in KINDS {
        growing(&format!("routes, {kind:?}"), &|count| {
            cost(&rules(kind, count), "a", &kind.path_of(count - 1))
        });
    }
    let authority = "service-50.default.svc:9080";
    let routed = cost(&hosts(100), authority, "/reviews/0");
    let names: Vec<_> = (0..100)
        .map(|n| format!("service-{n}.default.svc:9080"))
        .collect();
    let map: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let looked_up = nanoseconds(|| map.contains_key(black_box(authority)));
    println!(
        "100 virtual hosts {routed:.1} ns, one look-up of the authority in a HashMap \
         {looked_up:.1} ns, \
         {:.2} x (at most 4 x)",
        routed / looked_up
    );
    for asked in ASKED {
        let [few, many] = [5, 500].map(|count| {
            let authorizer = authorizer(asked, count);
            judging(asked, count - 1, |request| {
                assert!(authorizer.check(request).is_allowed());
                nanoseconds(|| authorizer.check(black_box(request)).is_allowed())
            })
        });
        println!(
            "{:40} 5: {few:6.1} ns, 500: {many:6.1} ns, {:.2} x (at most 2 x)",
            format!("rules by {asked:?}"),
            many / few
        );
    }
}

fn cost(router: &Router, authority: &str, path: &str) -> f64 {
    let headers = HeaderMap::new();
    let head = RequestHead {
        method: &Method::GET,
        path,
        query: None,
        authority,
        scheme: "http",
        headers: &headers,
        claims: None,
    };
    assert!(router.route(&head, 1).is_ok(), "{authority}{path}");
    nanoseconds(|| router.route(black_box(&head), 1).is_ok())
}

/// The quickest of many rounds: whatever else runs only makes them slower.
fn nanoseconds(decide: impl Fn() -> bool) -> f64 {
    const DECISIONS: u32 = 2_000;
    let rounds = (0..200).map(|_| {
        let start = Instant::now();
        for _ in 0..DECISIONS {
            black_box(decide());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// How the rules of a host tell paths apart.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Exact,
    Prefix,
    Expression,
    Mixed,
}

const KINDS: [Kind; 4] = [Kind::Exact, Kind::Prefix, Kind::Expression, Kind::Mixed];

impl Kind {
    fn condition(self, number: usize) -> PathMatch {
        let path = format!("/api/v1/things/{number}");
        match self {
            Self::Exact => PathMatch::Exact(path),
            Self::Prefix => PathMatch::PathSeparatedPrefix(path),
            Self::Expression => PathMatch::Regex(format!("{path}/[a-z]+")),
            Self::Mixed => {
                [Self::Exact, Self::Prefix, Self::Expression][number % 3].condition(number)
            }
        }
    }

    fn path_of(self, number: usize) -> String {
        let path = format!("/api/v1/things/{number}");
        match self {
            Self::Exact => path,
            Self::Prefix | Self::Expression => path + "/abc",
            Self::Mixed => {
                [Self::Exact, Self::Prefix, Self::Expression][number % 3].path_of(number)
            }
        }
    }
}

/// What rules on who may call ask for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Principal,
    Path,
    Method,
}

const ASKED: [Asked; 3] = [Asked::Principal, Asked::Path, Asked::Method];

/// So many rules that allow, each something else.
fn authorizer(asked: Asked, count: usize) -> Authorizer {
    let policy = |number: usize| {
        let text = |text: String| ValueMatch::Text {
            pattern: Pattern::Exact(text),
            ignore_case: false,
        };
        let method = HeaderMatch {
            name: ":method".into(),
            value: text(format!("M{number}")),
            invert: false,
            missing_is_empty: false,
        };
        let (permission, principal) = match asked {
            Asked::Principal => (
                Permission::Any,
                Principal::Authenticated(Some(Pattern::Exact(caller(number)))),
            ),
            Asked::Path => (
                Permission::Path(Pattern::Exact(format!("/things/{number}"))),
                Principal::Any,
            ),
            Asked::Method => (Permission::Header(method), Principal::Any),
        };
        let rule = AccessPolicy {
            permissions: vec![permission],
            principals: vec![principal],
            origin: None,
        };
        (format!("rule-{number}").into(), rule)
    };
    let rules = AccessRules {
        action: AccessAction::Allow,
        policies: (0..count).map(policy).collect(),
    };
    Authorizer::compile(&RbacFilter {
        rules: Some(rules),
        shadow_rules: None,
        shadow_stat_prefix: String::new(),
    })
    .unwrap()
}

fn caller(number: usize) -> String {
    format!("spiffe://cluster.local/ns/default/sa/caller-{number}")
}

fn rule(cluster: &str, path: PathMatch) -> Route {
    Route {
        name: "default".into(),
        matches: RouteMatch {
            path,
            ..Default::default()
        },
        action: RouteAction::Forward(Forward {
            cluster: ClusterChoice::Single(cluster.into()),
            ..Default::default()
        }),
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    }
}

/// As Istio plans a port: every service by five names.
fn hosts(count: usize) -> Router {
    let host = |number: usize| {
        let name = format!("service-{number}");
        let tails = ["", ".default", ".default.svc", ".default.svc.cluster.local"];
        VirtualHost {
            name: name.as_str().into(),
            domains: tails.iter().map(|tail| format!("{name}{tail}")).collect(),
            routes: vec![rule(&name, PathMatch::default())],
            ..Default::default()
        }
    };
    Router::compile(Arc::new(RouteTable {
        virtual_hosts: (0..count).map(host).collect(),
        ignore_port_in_host_matching: true,
        ..Default::default()
    }))
    .unwrap()
}

fn rules(kind: Kind, count: usize) -> Router {
    let host = VirtualHost {
        domains: vec!["*".into()],
        routes: (0..count)
            .map(|number| rule("c", kind.condition(number)))
            .collect(),
        ..Default::default()
    };
    Router::compile(Arc::new(RouteTable {
        virtual_hosts: vec![host],
        ..Default::default()
    }))
    .unwrap()
}

fn route(bencher: Bencher<'_, '_>, router: &Router, authority: &str, path: &str) {
    let headers = HeaderMap::new();
    let head = RequestHead {
        method: &Method::GET,
        path,
        query: None,
        authority,
        scheme: "http",
        headers: &headers,
        claims: None,
    };
    bencher.bench_local(|| router.route(black_box(&head), 1).is_ok());
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn among_hosts(bencher: Bencher<'_, '_>, count: usize) {
    let authority = format!("service-{}.default.svc:9080", count / 2);
    route(bencher, &hosts(count), &authority, "/reviews/0");
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn among_rules(bencher: Bencher<'_, '_>, count: usize) {
    let path = Kind::Mixed.path_of(count - 1);
    route(bencher, &rules(Kind::Mixed, count), "a", &path);
}

#[divan::bench(args = [3, 100, 1_000])]
fn among_instances(bencher: Bencher<'_, '_>, count: u16) {
    let at = |port| Endpoint::at(([127, 0, 0, 1], port).into());
    let set = EndpointSet {
        name: "s".into(),
        localities: vec![LocalityEndpoints {
            weight: 1,
            endpoints: (0..count).map(at).collect(),
            ..Default::default()
        }],
    };
    let least = Balancing::LeastRequest { choices: 2 };
    let balancer = Balancer::compile(Arc::new(set), &least, 0).unwrap();
    let loads = Loads::new(&balancer);
    let mut dice = Dice::new(1);
    bencher.bench_local(|| balancer.pick(&loads, None, &mut dice, &|_| false));
}

/// The request that a rule allows.
fn judging<R>(asked: Asked, number: usize, judge: impl FnOnce(&AccessRequest<'_>) -> R) -> R {
    let headers = HeaderMap::new();
    let path = match asked {
        Asked::Path => format!("/things/{number}"),
        Asked::Principal | Asked::Method => "/".to_owned(),
    };
    let method = match asked {
        Asked::Method => Method::from_bytes(format!("M{number}").as_bytes()).unwrap(),
        Asked::Principal | Asked::Path => Method::GET,
    };
    let head = RequestHead {
        method: &method,
        path: &path,
        query: None,
        authority: "reviews",
        scheme: "http",
        headers: &headers,
        claims: None,
    };
    let peer = caller(number).parse().unwrap();
    let connection = ConnectionFacts {
        source: ([10, 0, 0, 1], 40_000).into(),
        destination: ([10, 0, 0, 2], 9080).into(),
        server_name: None,
        transport: TransportProtocol::Tls,
        application_protocols: &[],
        peer: Some(&peer),
    };
    judge(&AccessRequest {
        head: Some(&head),
        connection: &connection,
        remote: [10, 0, 0, 1].into(),
        claims: None,
    })
}

#[divan::bench(args = [5, 50, 500], consts = [0, 1, 2])]
fn among_access_rules<const ASKED_FOR: usize>(bencher: Bencher<'_, '_>, count: usize) {
    let asked = ASKED[ASKED_FOR];
    let authorizer = authorizer(asked, count);
    judging(asked, count - 1, |request| {
        bencher.bench_local(|| authorizer.check(black_box(request)).is_allowed());
    });
}

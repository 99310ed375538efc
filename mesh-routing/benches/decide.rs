//! What decisions cost as tables grow.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed bench")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use mesh_core::dataplane::*;
use mesh_routing::{Balancer, Dice, Loads, RequestHead, Router};

fn main() {
    divan::main();
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

fn rules(count: usize) -> Router {
    let path = |number: usize| match number % 2 {
        0 => PathMatch::Exact(format!("/api/v1/things/{number}")),
        _ => PathMatch::PathSeparatedPrefix(format!("/api/v1/things/{number}")),
    };
    let host = VirtualHost {
        domains: vec!["*".into()],
        routes: (0..count).map(|number| rule("c", path(number))).collect(),
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
    let path = format!("/api/v1/things/{}", count - 1);
    route(bencher, &rules(count), "a", &path);
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

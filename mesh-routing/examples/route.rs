//! Routes one request through a table of two rules, and says why it goes where it goes.
//!
//! `cargo run -p mesh-routing --example route -- jason` sends it as the user jason.

use std::{env, error::Error, sync::Arc};

use http::{HeaderMap, HeaderValue, Method};
use mesh_core::{
    dataplane::{
        ClusterChoice, Forward, HeaderMatch, Origin, Route, RouteAction, RouteMatch, RouteTable,
        ValueMatch, VirtualHost, WeightedCluster,
    },
    name::{Pattern, ResourceRef},
};
use mesh_routing::{RequestHead, Router};

#[expect(clippy::print_stdout, reason = "an example speaks to its reader")]
fn main() -> Result<(), Box<dyn Error>> {
    let router = Router::compile(Arc::new(reviews()))?;

    let mut headers = HeaderMap::new();
    if let Some(user) = env::args().nth(1) {
        headers.insert("end-user", HeaderValue::try_from(user)?);
    }
    let head = RequestHead {
        method: &Method::GET,
        path: "/reviews/0",
        query: None,
        authority: "reviews:9080",
        scheme: "http",
        headers: &headers,
        claims: None,
    };

    println!("{}\n", router.explain(&head, 0));
    for seed in 0..5 {
        let matched = router.route(&head, seed)?;
        let forward = matched.route.forward().ok_or("the rule does not forward")?;
        let destination = forward.destination(&head, seed).ok_or("no cluster")?;
        println!("draw {seed} goes to {}", destination.cluster);
    }
    Ok(())
}

/// Jason sees version 2; everyone else 80 % of version 1 and 20 % of version 3.
fn reviews() -> RouteTable {
    let jason = HeaderMatch {
        name: "end-user".into(),
        value: ValueMatch::Text {
            pattern: Pattern::Exact("jason".into()),
            ignore_case: false,
        },
        invert: false,
        missing_is_empty: false,
    };
    let for_jason = RouteMatch {
        headers: vec![jason],
        ..RouteMatch::default()
    };
    RouteTable {
        name: "9080".into(),
        virtual_hosts: vec![VirtualHost {
            name: "reviews.default.svc.cluster.local:9080".into(),
            domains: vec!["reviews".into(), "reviews.default".into()],
            routes: vec![
                rule("testers", for_jason, &[("v2", 1)]),
                rule("everyone", RouteMatch::default(), &[("v1", 80), ("v3", 20)]),
            ],
            ..VirtualHost::default()
        }],
        ignore_port_in_host_matching: true,
        ..RouteTable::default()
    }
}

fn rule(name: &str, matches: RouteMatch, versions: &[(&str, u32)]) -> Route {
    let group = "networking.istio.io";
    let written = ResourceRef::new(group, "VirtualService", "default", "reviews");
    let clusters = versions.iter().map(|(version, weight)| WeightedCluster {
        name: format!("outbound|9080|{version}|reviews.default.svc.cluster.local").into(),
        weight: *weight,
        headers: Default::default(),
    });
    Route {
        name: name.into(),
        matches,
        action: RouteAction::Forward(Forward {
            cluster: ClusterChoice::Weighted(clusters.collect()),
            ..Forward::default()
        }),
        headers: Default::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: Some(Origin::of(written)),
    }
}

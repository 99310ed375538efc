//! `testdata/routing.toml` and `testdata/rewrites.toml`, on the router and on its slow reference.

use std::{fs, sync::Arc};

use mesh_core::{dataplane::*, name::Pattern};
use mesh_routing::{Router, router::linear};
use serde::{Deserialize, de::DeserializeOwned};

use crate::request::Request;

/// Reads a file of test data.
pub(crate) fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(default)]
    ignore_port: bool,
    host: Vec<HostSpec>,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostSpec {
    domains: Vec<String>,
    routes: Vec<RouteSpec>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RouteSpec {
    to: String,
    exact: Option<String>,
    prefix: Option<String>,
    segments: Option<String>,
    regex: Option<String>,
    connect: bool,
    ignore_case: bool,
    grpc: bool,
    headers: Vec<HeaderSpec>,
    query: Vec<HeaderSpec>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderSpec {
    name: String,
    /// None asks for presence.
    is: Option<Pattern>,
    range: Option<[i64; 2]>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    invert: bool,
    #[serde(default)]
    missing_is_empty: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    request: Request,
    /// A cluster, `no host` or `no rule`.
    want: String,
}

impl Group {
    fn table(&self) -> RouteTable {
        RouteTable {
            name: self.name.as_str().into(),
            virtual_hosts: self.host.iter().map(HostSpec::virtual_host).collect(),
            ignore_port_in_host_matching: self.ignore_port,
            ..Default::default()
        }
    }
}

impl HostSpec {
    fn virtual_host(&self) -> VirtualHost {
        VirtualHost {
            name: self.domains[0].as_str().into(),
            domains: self.domains.clone(),
            routes: self.routes.iter().map(RouteSpec::route).collect(),
            ..Default::default()
        }
    }
}

impl RouteSpec {
    fn route(&self) -> Route {
        let path = [
            self.exact.clone().map(PathMatch::Exact),
            self.prefix.clone().map(PathMatch::Prefix),
            self.segments.clone().map(PathMatch::PathSeparatedPrefix),
            self.regex.clone().map(PathMatch::Regex),
            self.connect.then_some(PathMatch::Connect),
        ];
        let matches = RouteMatch {
            path: path.into_iter().flatten().next().unwrap_or_default(),
            ignore_case: self.ignore_case,
            headers: self.headers.iter().map(HeaderSpec::header).collect(),
            query: self
                .query
                .iter()
                .map(|query| QueryMatch {
                    name: query.name.clone(),
                    value: query.value(),
                })
                .collect(),
            claims: Vec::new(),
            fraction: None,
            grpc: self.grpc,
        };
        forwarding(&self.to, matches)
    }
}

impl HeaderSpec {
    pub(crate) fn header(&self) -> HeaderMatch {
        HeaderMatch {
            name: self.name.clone(),
            value: self.value(),
            invert: self.invert,
            missing_is_empty: self.missing_is_empty,
        }
    }

    fn value(&self) -> ValueMatch {
        match (&self.is, self.range) {
            (Some(pattern), _) => ValueMatch::Text {
                pattern: pattern.clone(),
                ignore_case: self.ignore_case,
            },
            (None, Some([start, end])) => ValueMatch::Range { start, end },
            (None, None) => ValueMatch::Present,
        }
    }
}

/// A rule that sends requests to a cluster.
pub(crate) fn forwarding(cluster: &str, matches: RouteMatch) -> Route {
    Route {
        name: cluster.into(),
        matches,
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

#[test]
fn routing() {
    for group in read::<File>("routing.toml").group {
        let table = Arc::new(group.table());
        let router = Router::compile(Arc::clone(&table)).unwrap();
        for case in &group.case {
            let built = case.request.build();
            let head = built.head();
            let what = format!("{}: {:?}", group.name, case.request);
            let seen = match router.route(&head, 0) {
                Ok(matched) => {
                    let forward = matched.route.forward().unwrap();
                    forward.destination(&head, 0).unwrap().cluster.to_owned()
                }
                Err(mesh_routing::NoRoute::Host) => "no host".into(),
                Err(_) => "no rule".into(),
            };
            assert_eq!(seen, case.want, "{what}");
            let slow = linear::route(&table, &head, 0);
            assert_eq!(
                slow,
                router.route(&head, 0).map(|matched| matched.id),
                "{what}"
            );
            let explained = router
                .explain(&head, 0)
                .chosen
                .map(|chosen| chosen.rule.name);
            assert_eq!(
                explained.as_deref(),
                slow.is_ok().then_some(&*seen),
                "{what}"
            );
        }
    }
}

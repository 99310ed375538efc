//! What is explained is what is decided: for any plan and request.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use http::{HeaderMap, HeaderValue, header::HOST};
use mesh_core::{
    config::ConfigSet,
    dataplane::{
        Cluster, ClusterChoice, DirectResponse, Discovery, EndpointSet, Fault, FaultAbort, Forward,
        Fraction, HttpFilter, Listener, NetworkFilter, RbacFilter, Redirect, RouteAction,
        RouteSource, RouteTable, SchemeRedirect, Snapshot, Terminal, TransportProtocol,
        UpstreamProtocol, WeightedCluster,
    },
    mesh::{Call, Caller, Mesh, MeshDefaults, Question, read, with_assumed_pods},
};
use mesh_routing::{
    AccessRequest, Authorizer, ConnectionFacts, NoRoute, RequestHead, Router,
    explain::{Arrival, Explanation, Outcome, PaperProxy, Payload, Request},
    resilience::Abort,
    router::Action,
    simulation::Simulation,
};
use proptest::prelude::*;

use crate::{access, request::Built, router};

const DOOR: u16 = 15006;
const SOURCE: &str = "10.0.0.1:40000";
const MEANT_FOR: &str = "10.0.0.2:80";

/// The listener for what calls a pod, as it is planned.
static PLANNED: LazyLock<Listener> = LazyLock::new(|| {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80, \
                name: http}], selector: {app: a}}}\n---\n{apiVersion: v1, kind: Pod, metadata: \
                {name: a, labels: {app: a}}, status: {podIP: 10.0.0.2}}";
    let defaults = MeshDefaults::default();
    let set = ConfigSet::default()
        .replace_file("a", &read("a", text, &defaults))
        .0;
    let set = with_assumed_pods(&set, &defaults);
    let simulation = Simulation::new(Mesh::resolve(&set, &defaults).0);
    let pods = simulation.mesh().endpoints();
    let planned = simulation.proxy(pods.workload("default", "a").unwrap());
    let inbound = planned.proxy.snapshot().listeners.iter();
    let mut inbound = inbound.filter(|listener| &*listener.name == "virtualInbound");
    Listener::clone(inbound.next().unwrap())
});

/// The same with other rules in it.
fn snapshot(table: RouteTable, filter: RbacFilter) -> Arc<Snapshot> {
    let mut listener = PLANNED.clone();
    for chain in &mut listener.filter_chains {
        chain
            .filters
            .retain(|filter| !matches!(filter, NetworkFilter::Rbac(_)));
        if let Terminal::Http(http) = &mut chain.terminal {
            http.routes = RouteSource::Inline(Arc::new(table.clone()));
            http.filters = vec![HttpFilter::Rbac(filter.clone()), HttpFilter::Fault];
            http.normalize_path = false;
            http.merge_slashes = false;
            http.use_remote_address = false;
        }
    }
    let clusters = ["c0", "c1"].map(|name| {
        let here: SocketAddr = MEANT_FOR.parse().unwrap();
        let set = EndpointSet::single(name, here);
        let mut cluster = Cluster::new(name, Discovery::Static(set));
        cluster.protocol = UpstreamProtocol::UseDownstream;
        (name.into(), Arc::new(cluster))
    });
    Arc::new(Snapshot {
        listeners: vec![Arc::new(listener)],
        clusters: clusters.into(),
        ..Snapshot::default()
    })
}

/// The same rules with all kinds of actions.
fn with_actions(mut table: RouteTable) -> RouteTable {
    let routes = table
        .virtual_hosts
        .iter_mut()
        .flat_map(|host| &mut host.routes);
    for (number, route) in routes.enumerate() {
        let to = |cluster| {
            RouteAction::Forward(Forward {
                cluster,
                ..Forward::default()
            })
        };
        let share = |name: &str, weight| WeightedCluster {
            name: name.into(),
            weight,
            headers: Default::default(),
        };
        route.action = match number % 4 {
            0 => to(ClusterChoice::Weighted(vec![
                share("c0", 1),
                share("c1", 3),
            ])),
            1 => to(ClusterChoice::Single("gone".into())),
            2 => RouteAction::Redirect(Redirect {
                status: 302,
                scheme: SchemeRedirect::Keep,
                host: Some("elsewhere".into()),
                port: None,
                path: None,
                strip_query: number % 3 == 0,
            }),
            _ => RouteAction::Respond(DirectResponse {
                status: 418,
                ..Default::default()
            }),
        };
        route.fault = (number % 5 == 0).then(|| Fault {
            delay: None,
            abort: Some(FaultAbort {
                http_status: Some(555),
                grpc_status: None,
                share: Fraction::per_million(500_000),
            }),
        });
    }
    table
}

/// What the deciders say, asked one by one: outcome, status, and where it goes.
fn decided(
    router: &Router,
    authorizer: &Authorizer,
    head: &RequestHead<'_>,
    seed: u64,
) -> (Outcome, Option<u16>, String) {
    let connection = ConnectionFacts {
        source: SOURCE.parse().unwrap(),
        destination: MEANT_FOR.parse().unwrap(),
        server_name: None,
        transport: TransportProtocol::RawBuffer,
        application_protocols: &[],
        peer: None,
    };
    let asked = AccessRequest {
        head: Some(head),
        connection: &connection,
        remote: connection.source.ip(),
        claims: None,
    };
    if !authorizer.check(&asked).is_allowed() {
        return (Outcome::Denied, Some(403), String::new());
    }
    let matched = match router.route(head, seed) {
        Ok(matched) => matched,
        Err(NoRoute::Host | NoRoute::Rule | _) => {
            return (Outcome::Unavailable, Some(404), String::new());
        }
    };
    let abort = matched
        .route
        .fault
        .and_then(|fault| fault.decide(seed).abort);
    if let Some(Abort::Http(status)) = abort {
        return (Outcome::Answered, Some(status), String::new());
    }
    match &matched.route.action {
        Action::Forward(forward) => {
            let cluster = forward.destination(head, seed).unwrap().cluster.to_owned();
            match cluster == "gone" {
                true => (Outcome::Unavailable, Some(503), cluster),
                false => (Outcome::Forwarded, None, cluster),
            }
        }
        Action::Redirect(redirect) => {
            let location = matched.route.location(head).unwrap();
            (
                Outcome::Redirected,
                Some(redirect.status().as_u16()),
                location,
            )
        }
        Action::Respond(direct) => (Outcome::Answered, Some(direct.status), String::new()),
    }
}

fn explained(proxy: &PaperProxy, built: &Built, seed: u64) -> Explanation {
    let head = built.head();
    let request = Request {
        method: head.method.clone(),
        authority: head.authority.to_owned(),
        path: head.path.to_owned(),
        query: head.query.map(str::to_owned),
        headers: head.headers.clone(),
        http2: false,
    };
    proxy.explain(&Arrival {
        accepted_on: DOOR,
        source: SOURCE.parse().unwrap(),
        meant_for: MEANT_FOR.parse().unwrap(),
        hello: None,
        payload: Payload::Request(&request),
        seed,
        time: None,
        claims: None,
        providers_allow: false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_explained_is_what_is_decided(
        table in router::table(),
        filter in access::a_filter(),
        requests in proptest::collection::vec((router::request(), any::<u64>()), 1..12),
    ) {
        let table = with_actions(table);
        let proxy = PaperProxy::compile(snapshot(table.clone(), filter.clone()));
        prop_assert_eq!(proxy.refusals(), &[]);
        let router = Router::compile(Arc::new(table)).unwrap();
        let authorizer = Authorizer::compile(&filter).unwrap();
        for (request, seed) in requests {
            let built = request.build();
            let told = explained(&proxy, &built, seed);
            if told.decision.details == "invalid_authority" {
                prop_assert!(request.host.parse::<http::uri::Authority>().is_err());
                continue;
            }
            // As the proxy completes it.
            let mut headers: HeaderMap = built.head().headers.clone();
            headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
            headers.insert(HOST, HeaderValue::from_str(&request.host).unwrap());
            let head = RequestHead { headers: &headers, claims: None, ..built.head() };
            let (outcome, status, to) = decided(&router, &authorizer, &head, seed);
            prop_assert_eq!(told.decision.outcome, outcome, "{:?}", told);
            prop_assert_eq!(told.decision.status, status, "{:?}", told);
            let went = told.sent.as_ref().map(|sent| sent.cluster.to_string());
            let went = went.or_else(|| told.decision.location.clone()).unwrap_or_default();
            prop_assert_eq!(went, to);
            let route = told.http.as_ref().and_then(|http| http.route.as_ref()).unwrap();
            let found = router.route(&head, seed).ok();
            prop_assert_eq!(route.chosen.is_some(), found.is_some());
            if let Some(found) = found {
                let first = found.virtual_host.routes.iter().position(|one| one == found.planned);
                prop_assert!(first.unwrap() <= route.rejected.len());
            }
        }
    }

    #[test]
    fn calls_never_panic(text in "\\PC{0,40}", from in "\\PC{0,10}") {
        if let (Ok(call), Ok(caller)) = (Call::parse(&text), Caller::parse(&from)) {
            let set = ConfigSet::default();
            let mesh = Mesh::resolve(&set, &MeshDefaults::default()).0;
            let _ = Simulation::new(mesh).ask(&Question::new(caller, call));
        }
    }
}

//! What Sidecars change: which listeners there are, what they see, and what is behind them.

use super::town::{Town, host, listener, listener_names, manager, proxied, routes};
use crate::{
    dataplane::{
        Balancing, CircuitLimits, ClusterChoice, Discovery, EndpointSet, RouteAction, Snapshot,
    },
    mesh::{Mesh, MeshDefaults},
};

fn sidecar(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\n\
         metadata: {{name: s, namespace: default}}\nspec:\n{spec}"
    )
}

/// The plan of productpage under a Sidecar, and further resources.
fn plan(spec: &str, others: &[&str]) -> Snapshot {
    let sidecar = sidecar(spec);
    let texts: Vec<_> = std::iter::once(&*sidecar)
        .chain(others.iter().copied())
        .collect();
    Town::without_virtual_addresses(&texts).productpage()
}

fn problems(spec: &str) -> Vec<String> {
    let town = Town::bookinfo(&[&sidecar(spec)]);
    let (_, problems) = Mesh::resolve(&town.set, &MeshDefaults::default());
    let tell = |problem: crate::config::Problem| format!("{}: {}", problem.field, problem.reason);
    problems.into_iter().map(tell).collect()
}

fn hosts<'a>(plan: &'a Snapshot, table: &str) -> Vec<&'a str> {
    let hosts = plan.routes[table].virtual_hosts.iter();
    hosts.map(|host| &*host.name).collect()
}

const DATABASE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\n\
    spec: {clusterIP: 10.0.0.9, ports: [{name: tcp, port: 3306}], selector: {app: ratings}}\n";

#[test]
fn hosts_and_exclusions() {
    for (hosts_, want) in [
        ("./*", "details productpage ratings reviews"),
        ("'*/*'", "details productpage ratings reviews"),
        ("./reviews.default.svc.cluster.local", "reviews"),
        (
            "'*/*.default.svc.cluster.local'",
            "details productpage ratings reviews",
        ),
        ("other/*", ""),
        ("'~/*'", ""),
        (
            "./*, ~./reviews.default.svc.cluster.local",
            "details productpage ratings",
        ),
        ("'*/*', ~default/*", ""),
        (
            "'*/*', '~*/ratings.default.svc.cluster.local'",
            "details productpage reviews",
        ),
    ] {
        let plan = plan(&format!("  egress: [{{hosts: [{hosts_}]}}]\n"), &[]);
        let table = plan.routes.get("9080");
        let names = table.into_iter().flat_map(|table| &table.virtual_hosts);
        let names: Vec<_> = names
            .filter_map(|host| host.name.strip_suffix(".default.svc.cluster.local:9080"))
            .collect();
        assert_eq!(names.join(" "), want, "{hosts_}");
    }
}

/// A port that is declared sees what it is given; the listener without a port takes all others.
#[test]
fn declared_ports_are_locked() {
    let plan = plan(
        "  egress:\n  \
         - {port: {number: 9080, protocol: HTTP, name: http}, hosts: [./reviews.default.svc.cluster.local]}\n  \
         - {hosts: ['*/*']}\n",
        &[DATABASE],
    );
    assert_eq!(
        listener_names(&plan)[..2],
        ["0.0.0.0_9080", "10.0.0.9_3306"]
    );
    assert!(!listener(&plan, "0.0.0.0_9080").bind_to_port);
    assert_eq!(
        hosts(&plan, "9080"),
        ["reviews.default.svc.cluster.local:9080", "allow_any"]
    );
    // Clusters are for all that is seen somewhere.
    for cluster in [
        "outbound|9080||details.default.svc.cluster.local",
        "outbound|3306||db.default.svc.cluster.local",
    ] {
        assert!(plan.clusters.contains_key(cluster), "{cluster}");
    }
}

/// `captureMode: NONE`: the application calls the proxy, so nothing is passed on that it did not
/// mean for a service.
#[test]
fn listeners_that_the_application_calls() {
    let plan = plan(
        "  egress:\n  \
         - {port: {number: 7000, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: [./*]}\n  \
         - {port: {number: 7001, protocol: TCP, name: tcp}, captureMode: NONE, hosts: [./db.default.svc.cluster.local]}\n",
        &[DATABASE],
    );
    let http = listener(&plan, "127.0.0.1_7000");
    assert!(http.bind_to_port);
    assert_eq!(http.default_filter_chain, None);
    assert_eq!(
        manager(&http.filter_chains[0]).routes,
        crate::dataplane::RouteSource::Named("7000".into())
    );
    // No service has port 7000, so only rules could answer there.
    assert_eq!(hosts(&plan, "7000"), ["allow_any"]);
    // A service with only one port is called at that one.
    let tcp = listener(&plan, "127.0.0.1_7001");
    assert!(tcp.bind_to_port);
    assert_eq!(
        proxied(&tcp.filter_chains[0]),
        "outbound|3306||db.default.svc.cluster.local"
    );
    // Nothing else is captured for a service.
    assert!(!listener_names(&plan).contains(&"0.0.0.0_9080"));
}

/// Rules of namespaces that are not listed are not followed; those that are lead to services that
/// nobody listed.
#[test]
fn rules_are_seen_like_services() {
    let rule = |namespace: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: v, namespace: {namespace}}}\n\
             spec: {{hosts: [reviews.default.svc.cluster.local], \
             http: [{{route: [{{destination: {{host: ratings.default.svc.cluster.local}}}}]}}]}}\n"
        )
    };
    let only = "  egress: [{hosts: [./reviews.default.svc.cluster.local]}]\n";
    let leads = |plan: &Snapshot| match &routes(plan, "reviews")[0].action {
        RouteAction::Forward(forward) => match &forward.cluster {
            ClusterChoice::Single(name) => name.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let own = plan(only, &[&rule("default")]);
    let ratings = "outbound|9080||ratings.default.svc.cluster.local";
    assert_eq!(leads(&own), ratings);
    assert!(own.clusters.contains_key(ratings) && own.endpoints.contains_key(ratings));
    assert_eq!(
        hosts(&own, "9080"),
        ["reviews.default.svc.cluster.local:9080", "allow_any"]
    );

    let foreign = plan(only, &[&rule("other")]);
    assert_eq!(
        leads(&foreign),
        "outbound|9080||reviews.default.svc.cluster.local"
    );
    assert!(!foreign.clusters.contains_key(ratings));
}

#[test]
fn undeclared_hosts() {
    let proxy = "egressProxy: {host: details, port: {number: 9080}}";
    for (policy, chain, table) in [
        ("{mode: REGISTRY_ONLY}", "BlackHoleCluster", "block_all"),
        ("{mode: ALLOW_ANY}", "PassthroughCluster", "allow_any"),
        // Without a mode it is protobuf's first, as in Istio.
        ("{}", "BlackHoleCluster", "block_all"),
        (
            &*format!("{{mode: ALLOW_ANY, {proxy}}}"),
            "outbound|9080||details.default.svc.cluster.local",
            "allow_any",
        ),
    ] {
        let plan = plan(&format!("  outboundTrafficPolicy: {policy}\n"), &[]);
        let captured = listener(&plan, "virtualOutbound");
        assert_eq!(proxied(&captured.filter_chains[1]), chain, "{policy}");
        let last = plan.routes["9080"].virtual_hosts.last().unwrap();
        assert_eq!(&*last.name, table, "{policy}");
        if let RouteAction::Forward(forward) = &last.routes[0].action {
            assert_eq!(
                forward.cluster,
                ClusterChoice::Single(chain.into()),
                "{policy}"
            );
        }
    }
}

const INGRESS: &str = "  ingress:\n  \
    - {port: {number: 9080, protocol: HTTP, name: a}, defaultEndpoint: '127.0.0.1:8080'}\n  \
    - {port: {number: 9443, protocol: TCP, name: b}, defaultEndpoint: '0.0.0.0:8443', bind: 127.0.0.9, captureMode: NONE}\n  \
    - {port: {number: 9999, protocol: HTTP2, name: c}}\n";

#[test]
fn ports_that_a_workload_is_called_at() {
    let plan = plan(INGRESS, &[]);
    let inbound = listener(&plan, "virtualInbound");
    let ports: Vec<_> = inbound
        .filter_chains
        .iter()
        .filter_map(|chain| chain.matches.destination_port)
        .collect();
    // The first is the loop's; two chains, mutual and clear, for each of the others.
    assert_eq!(ports, [15006, 9080, 9080, 9999, 9999]);
    let bound = listener(&plan, "127.0.0.9_9443");
    assert!(bound.bind_to_port && !bound.listener_filters.original_dst);
    assert!(
        bound
            .filter_chains
            .iter()
            .all(|chain| chain.matches.destination_port.is_none())
    );

    let place = |name: &str| plan.clusters[name].discovery.clone();
    let at = |name: &str, address: &str| {
        Discovery::Static(EndpointSet::single(name, address.parse().unwrap()))
    };
    assert_eq!(
        place("inbound|9080||"),
        at("inbound|9080||", "127.0.0.1:8080")
    );
    assert_eq!(plan.clusters["inbound|9080||"].bind_source, None);
    assert!(
        matches!(place("inbound|9443||"), Discovery::Static(set) if set.endpoints().next().unwrap().address.to_string().ends_with(":8443"))
    );
    assert!(matches!(
        place("inbound|9999||"),
        Discovery::OriginalDestination(_)
    ));
    assert_eq!(
        plan.clusters["inbound|9999||"].balancing,
        Balancing::Provided
    );
}

/// Of the Sidecar's port, of the Sidecar, of the rule's port, of the rule: the first, and whole.
#[test]
fn the_most_an_application_is_given() {
    let limits = |requests: Option<u32>, connections: Option<u32>| CircuitLimits {
        max_requests: requests,
        max_connections: connections,
        ..CircuitLimits::default()
    };
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: productpage}\n\
        spec: {host: productpage, trafficPolicy: {connectionPool: {tcp: {maxConnections: 4}}}}\n";
    let of_port = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: productpage}\n\
        spec: {host: productpage, trafficPolicy: {connectionPool: {tcp: {maxConnections: 4}}, \
        portLevelSettings: [{port: {number: 9080}, connectionPool: {tcp: {maxConnections: 3}}}]}}\n";
    let whole = "  inboundConnectionPool: {http: {http2MaxRequests: 2}}\n";
    let port = "  ingress: [{port: {number: 9080, protocol: HTTP, name: a}, connectionPool: {http: {http2MaxRequests: 1}}}]\n";
    for (spec, others, want) in [
        (
            String::from("  ingress: []\n"),
            [rule],
            limits(None, Some(4)),
        ),
        ("  ingress: []\n".into(), [of_port], limits(None, Some(3))),
        (whole.into(), [of_port], limits(Some(2), None)),
        (format!("{whole}{port}"), [of_port], limits(Some(1), None)),
    ] {
        let plan = plan(&spec, &others);
        assert_eq!(plan.clusters["inbound|9080||"].limits, want, "{spec}");
    }
    assert_eq!(
        plan("  ingress: []\n", &[]).clusters["inbound|9080||"].limits,
        CircuitLimits::default()
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (spec, want) in [
        (
            "  egress: [{hosts: [reviews]}]\n",
            "spec.egress[0].hosts[0]: \"reviews\" lacks a namespace",
        ),
        (
            "  egress: [{hosts: []}]\n",
            "spec.egress[0].hosts: at least one host is needed",
        ),
        (
            "  egress: [{hosts: [./*]}, {port: {number: 1, protocol: TCP}, hosts: [./*]}]\n",
            "spec.egress[0].port: has no port, and only the last listener may: it takes all ports that are left",
        ),
        (
            "  egress: [{bind: 127.0.0.1, hosts: [./*]}]\n",
            "spec.egress[0].bind: needs a port to go with it",
        ),
        (
            "  egress: [{port: {number: 1, protocol: TCP}, bind: 'unix:///a', hosts: [./*]}]\n",
            "spec.egress[0].bind: listening on a path is not supported yet",
        ),
        (
            "  ingress: [{bind: 127.0.0.1}]\n",
            "spec.ingress[0].port: is missing",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTPP}}]\n",
            "spec.ingress[0].port.protocol: unknown protocol \"HTPP\"",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTTP}, defaultEndpoint: '10.0.0.1:80'}]\n",
            "spec.ingress[0].defaultEndpoint: \"10.0.0.1:80\" is no place of the application",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTTP}, defaultEndpoint: 'unix:///a'}]\n",
            "spec.ingress[0].defaultEndpoint: calling a path is not supported yet",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTTP}, captureMode: NONE}]\n",
            "spec.ingress[0].defaultEndpoint: is missing: callers call the proxy itself, so it must know the application",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTTP}}, {port: {number: 1, protocol: TCP}}]\n",
            "spec.ingress[1].port.number: port 1 is given twice",
        ),
        (
            "  ingress: [{port: {number: 1, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}}]\n",
            "spec.ingress[0].tls: not supported yet: callers would be let in without it",
        ),
        (
            "  outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}\n",
            "spec.outboundTrafficPolicy.mode: ALLOW_ANY_DYNAMIC_DNS is not supported yet",
        ),
        (
            "  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: details}}\n",
            "spec.outboundTrafficPolicy.egressProxy.port.number: is missing",
        ),
    ] {
        assert_eq!(problems(spec), [want], "{spec}");
    }
    assert_eq!(
        host(
            &plan("  egress: [{hosts: [./*]}]\n", &[]).routes["9080"],
            "allow_any"
        )
        .domains,
        ["*"]
    );
}

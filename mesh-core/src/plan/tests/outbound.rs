use std::time::Duration;

use super::town::{Town, host, listener, listener_names, manager, proxied, routes};
use crate::dataplane::{
    AccessLogFilter, AccessLogFormat, ChainMatch, ClusterChoice, Discovery, ForwardClientCert,
    HttpFilter, Node, RouteAction, RouteMatch, RouteSource, Terminal, TransportProtocol,
};
use crate::plan::PlanOptions;

#[test]
fn listeners_as_istiod_names_them() {
    let plan = Town::bookinfo(&[]).productpage();
    assert_eq!(
        listener_names(&plan),
        [
            "0.0.0.0_9080",
            "127.0.0.1_15080",
            "virtualOutbound",
            "virtualInbound"
        ]
    );

    let shared = listener(&plan, "0.0.0.0_9080");
    assert!(!shared.bind_to_port);
    assert!(shared.listener_filters.http_inspector);
    assert!(shared.listener_filters.continue_on_timeout);
    let [requests] = &shared.filter_chains[..] else {
        panic!("one chain: {:?}", shared.filter_chains)
    };
    assert_eq!(
        requests.matches,
        ChainMatch {
            transport: Some(TransportProtocol::RawBuffer),
            application_protocols: vec!["http/1.1".into(), "h2c".into()],
            ..ChainMatch::default()
        }
    );
    let manager = manager(requests);
    assert_eq!(manager.routes, RouteSource::Named("9080".into()));
    assert_eq!(&*manager.stat_prefix, "outbound_0.0.0.0_9080;");
    assert_eq!(manager.forward_client_cert, ForwardClientCert::Sanitize);
    assert_eq!(
        manager.filters,
        [
            HttpFilter::PeerMetadata,
            HttpFilter::GrpcStats,
            HttpFilter::IstioAlpn,
            HttpFilter::Fault,
            HttpFilter::Cors,
            HttpFilter::IstioStats,
        ]
    );
    let rest = shared.default_filter_chain.as_ref().unwrap();
    assert_eq!(&*rest.name, "PassthroughFilterChain");
    assert_eq!(proxied(rest), "PassthroughCluster");
}

#[test]
fn captured_calls_find_their_listener_or_pass() {
    let plan = Town::bookinfo(&[]).productpage();
    let captured = listener(&plan, "virtualOutbound");
    assert!(captured.bind_to_port && captured.use_original_dst);
    assert_eq!(captured.address.to_string(), "0.0.0.0:15001");
    let chains: Vec<_> = captured
        .filter_chains
        .iter()
        .map(|chain| (&*chain.name, chain.matches.destination_port, proxied(chain)))
        .collect();
    assert_eq!(
        chains,
        [
            ("virtualOutbound-blackhole", Some(15001), "BlackHoleCluster"),
            ("virtualOutbound-catchall-tcp", None, "PassthroughCluster"),
        ]
    );
}

#[test]
fn domains_of_a_service_in_the_same_namespace() {
    let plan = Town::bookinfo(&[]).productpage();
    let table = &plan.routes["9080"];
    assert!(table.ignore_port_in_host_matching);
    let names: Vec<_> = table.virtual_hosts.iter().map(|host| &*host.name).collect();
    assert_eq!(
        names,
        [
            "details.default.svc.cluster.local:9080",
            "productpage.default.svc.cluster.local:9080",
            "ratings.default.svc.cluster.local:9080",
            "reviews.default.svc.cluster.local:9080",
            "allow_any",
        ]
    );
    let reviews = host(table, "reviews.default.svc.cluster.local:9080");
    assert_eq!(
        reviews.domains[..5],
        [
            "reviews.default.svc.cluster.local",
            "reviews.default.svc.cluster.local.",
            "reviews",
            "reviews.default.svc",
            "reviews.default",
        ]
    );
    assert!(reviews.domains[5].parse::<std::net::IpAddr>().is_ok());
    assert!(reviews.include_attempt_count);
    assert_eq!(host(table, "allow_any").domains, ["*"]);
}

#[test]
fn without_rules_requests_go_straight_to_the_service() {
    let plan = Town::bookinfo(&[]).productpage();
    let [route] = routes(&plan, "reviews") else {
        panic!("one route")
    };
    let full = "reviews.default.svc.cluster.local";
    assert_eq!(&*route.name, "default");
    assert_eq!(route.matches, RouteMatch::default());
    assert_eq!(route.operation.as_deref(), Some(&*format!("{full}:9080/*")));
    let RouteAction::Forward(forward) = &route.action else {
        panic!("forwards")
    };
    let cluster = format!("outbound|9080||{full}");
    assert_eq!(forward.cluster, ClusterChoice::Single((*cluster).into()));
    assert_eq!(forward.timeout, None);
    assert_eq!(forward.max_grpc_timeout, Some(Duration::ZERO));
    let retry = forward.retry.as_ref().unwrap();
    assert_eq!(
        retry.retry_on.join(","),
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    );
    assert_eq!((retry.num_retries, retry.host_selection_attempts), (2, 5));
    assert!(retry.avoid_previous_hosts);
    assert_eq!(retry.per_try_timeout, None);
}

const WEB: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: other}
spec:
  clusterIP: 10.0.0.9
  selector: {app: web}
  ports: [{port: 80, name: http}, {port: 3306, name: tcp-db}, {port: 7000}]
";

#[test]
fn a_listener_per_address_where_bytes_are_passed_on() {
    let plan = Town::bookinfo(&[WEB]).productpage();
    assert_eq!(
        listener_names(&plan),
        [
            "0.0.0.0_80",
            "0.0.0.0_9080",
            "10.0.0.9_3306",
            "10.0.0.9_7000",
            "127.0.0.1_15080",
            "virtualOutbound",
            "virtualInbound",
        ]
    );
    let full = "web.other.svc.cluster.local";
    let bytes = listener(&plan, "10.0.0.9_3306");
    let [chain] = &bytes.filter_chains[..] else {
        panic!("one chain")
    };
    assert_eq!(chain.matches, ChainMatch::default());
    assert_eq!(proxied(chain), format!("outbound|3306||{full}"));
    assert!(bytes.default_filter_chain.is_none());
    assert!(!bytes.listener_filters.http_inspector);

    // Of an undeclared port it shows what is spoken.
    let auto = listener(&plan, "10.0.0.9_7000");
    let table = RouteSource::Named((*format!("{full}:7000")).into());
    assert_eq!(manager(&auto.filter_chains[0]).routes, table);
    let rest = auto.default_filter_chain.as_ref().unwrap();
    assert_eq!(proxied(rest), format!("outbound|7000||{full}"));
    let own = &plan.routes[&*format!("{full}:7000")].virtual_hosts;
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].domains, ["*"]);
}

#[test]
fn domains_of_a_service_in_another_namespace() {
    let plan = Town::bookinfo(&[WEB]).productpage();
    let web = host(&plan.routes["80"], "web.other.svc.cluster.local:80");
    assert_eq!(
        web.domains,
        [
            "web.other.svc.cluster.local",
            "web.other.svc.cluster.local.",
            "web.other",
            "web.other.svc",
            "10.0.0.9",
        ]
    );
}

#[test]
fn the_proxy_port_knows_every_service_with_and_without_port() {
    let plan = Town::bookinfo(&[WEB]).productpage();
    let proxy = listener(&plan, "127.0.0.1_15080");
    assert!(proxy.bind_to_port);
    assert_eq!(proxy.address.to_string(), "127.0.0.1:15080");
    let table = &plan.routes["http_proxy"];
    assert!(!table.ignore_port_in_host_matching);
    let domains = |name: &str| &host(table, name).domains;
    for short in [
        "reviews",
        "reviews.default",
        "reviews.default.svc.cluster.local",
    ] {
        let with_port = format!("{short}:9080");
        let reviews = domains("reviews.default.svc.cluster.local:9080");
        assert!(reviews.contains(&with_port) && reviews.contains(&short.to_owned()));
    }
    // Of several ports only 80 is meant without saying so.
    assert!(domains("web.other.svc.cluster.local:80").contains(&"web.other".to_owned()));
    let undeclared = domains("web.other.svc.cluster.local:7000");
    assert!(undeclared.contains(&"web.other:7000".to_owned()));
    assert!(!undeclared.contains(&"web.other".to_owned()));
    // Anybody else by the name the request gives.
    let rest = table.virtual_hosts.last().unwrap();
    assert_eq!(
        (&*rest.name, &rest.domains[..]),
        ("allow_any", &["*".to_owned()][..])
    );
    let RouteAction::Forward(forward) = &rest.routes[0].action else {
        panic!("it is passed on")
    };
    assert_eq!(
        forward.cluster,
        ClusterChoice::Single("PassthroughCluster".into())
    );
}

#[test]
fn undeclared_hosts_may_be_refused() {
    let sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default}\n\
                   spec:\n  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n  \
                   egress: [{hosts: ['./*']}]\n";
    let plan = Town::bookinfo(&[WEB, sidecar]).productpage();
    assert!(
        !plan.routes.contains_key("80"),
        "a Sidecar narrows what is seen"
    );
    let rest = plan.routes["9080"].virtual_hosts.last().unwrap();
    assert_eq!(&*rest.name, "block_all");
    assert!(matches!(&rest.routes[0].action, RouteAction::Respond(answer) if answer.status == 502));
    let captured = listener(&plan, "virtualOutbound");
    assert_eq!(proxied(&captured.filter_chains[1]), "BlackHoleCluster");
    let shared = listener(&plan, "0.0.0.0_9080")
        .default_filter_chain
        .as_ref();
    assert_eq!(proxied(shared.unwrap()), "BlackHoleCluster");
}

#[test]
fn names_and_rules_tell_tls_connections_apart() {
    let texts = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec: {hosts: [a.org, b.org], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [b.org]
  tls: [{match: [{port: 443, sniHosts: [b.org]}], route: [{destination: {host: a.org}}]}]
";
    // Without addresses of their own they share one listener.
    let town = Town::without_virtual_addresses(&[texts]);
    let plan = town.productpage();
    let shared = listener(&plan, "0.0.0.0_443");
    assert!(shared.listener_filters.tls_inspector);
    let chains: Vec<_> = shared
        .filter_chains
        .iter()
        .map(|chain| (chain.matches.server_names.join(","), proxied(chain)))
        .collect();
    let to_a = "outbound|443||a.org";
    assert_eq!(
        chains,
        [("a.org".to_owned(), to_a), ("b.org".to_owned(), to_a)]
    );
    let rest = shared.default_filter_chain.as_ref().unwrap();
    assert_eq!(proxied(rest), "PassthroughCluster");
}

#[test]
fn tcp_rules_split_connections() {
    let rules = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: other}
spec:
  hosts: [web]
  tcp:
  - match: [{port: 3306, sourceLabels: {app: nobody}}]
    route: [{destination: {host: web, port: {number: 80}}}]
  - match: [{port: 3306}]
    route:
    - {destination: {host: web, subset: a}, weight: 1}
    - {destination: {host: web, subset: b}, weight: 3}
";
    let plan = Town::bookinfo(&[WEB, rules]).productpage();
    let [chain] = &listener(&plan, "10.0.0.9_3306").filter_chains[..] else {
        panic!("one chain")
    };
    let Terminal::Tcp(proxy) = &chain.terminal else {
        panic!("passes bytes on")
    };
    let shares: Vec<_> = proxy
        .clusters
        .iter()
        .map(|one| (&*one.name, one.weight))
        .collect();
    let a = "outbound|3306|a|web.other.svc.cluster.local";
    let b = "outbound|3306|b|web.other.svc.cluster.local";
    assert_eq!(shares, [(a, 1), (b, 3)]);
}

#[test]
fn headless_services_and_other_names() {
    let texts = "\
apiVersion: v1
kind: Service
metadata: {name: nodes}
spec: {clusterIP: None, selector: {app: reviews}, ports: [{port: 9080, name: http}, {port: 5000, name: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: stars}
spec: {type: ExternalName, externalName: ratings.default.svc.cluster.local}
";
    let town = Town::bookinfo(&[texts]);
    let plan = town.productpage();
    let table = &plan.routes["9080"];
    let nodes = host(table, "nodes.default.svc.cluster.local:9080");
    for domain in ["nodes", "*.nodes.default.svc.cluster.local"] {
        assert!(
            nodes.domains.contains(&domain.to_owned()),
            "{:?}",
            nodes.domains
        );
    }
    let ratings = host(table, "ratings.default.svc.cluster.local:9080");
    assert!(ratings.domains.contains(&"stars".to_owned()));
    // A listener per instance, where only the address tells which is meant.
    let per_instance = listener_names(&plan)
        .iter()
        .filter(|name| name.ends_with("_5000"))
        .count();
    assert_eq!(per_instance, 3);
    let told = &plan.clusters["outbound|9080||nodes.default.svc.cluster.local"];
    assert!(
        told.endpoints_name().is_some(),
        "the proxy port cannot tell instances apart"
    );

    let captured = Node {
        http_proxy_port: None,
        ..town.sidecar("productpage-v1")
    };
    let (plan, _) = town.plan(&captured);
    let told = &plan.clusters["outbound|9080||nodes.default.svc.cluster.local"];
    assert!(matches!(told.discovery, Discovery::OriginalDestination(_)));
}

#[test]
fn lines_are_written_where_the_mesh_wants_them() {
    let town = Town::bookinfo(&[]);
    let format = AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into());
    let options = PlanOptions {
        access_log: Some(format.clone()),
        ..PlanOptions::default()
    };
    let (plan, _) = crate::plan::plan(&town.mesh(), &town.sidecar("productpage-v1"), &options);
    for listener in &plan.listeners {
        // Of connections that no chain took, only those.
        let refused = AccessLogFilter::ResponseFlags(vec!["NR".into()]);
        assert_eq!(listener.access_log[0].filter, Some(refused));
        for chain in listener.chains() {
            let lines = match &chain.terminal {
                Terminal::Http(manager) => &manager.access_log,
                Terminal::Tcp(proxy) => &proxy.access_log,
            };
            let [line] = &lines[..] else {
                panic!("one line: {lines:?}")
            };
            assert_eq!((&*line.path, &line.format), ("/dev/stdout", &format));
            assert_eq!(line.filter, None);
        }
    }
    let quiet = town.productpage();
    assert!(
        quiet
            .listeners
            .iter()
            .all(|listener| listener.access_log.is_empty())
    );
}

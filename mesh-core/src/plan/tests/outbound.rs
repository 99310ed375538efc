use std::time::Duration;

use super::town::{Town, host, listener, listener_names, manager, proxied, routes};
use crate::dataplane::{
    ChainMatch, ClusterChoice, ForwardClientCert, HttpFilter, RouteAction, RouteMatch, RouteSource,
    TransportProtocol,
};

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

use super::town::{Town, listener, manager, proxied};
use crate::dataplane::{
    ClusterChoice, Discovery, FilterChain, ForwardClientCert, HttpFilter, RouteAction, RouteSource,
    SanMatch, Snapshot, Terminal, TransportProtocol,
};

const ALL: &str = "istio-peer-exchange,istio,istio-http/1.0,istio-http/1.1,istio-h2";
const HTTP: &str = "istio-http/1.0,istio-http/1.1,istio-h2";
const TCP: &str = "istio-peer-exchange,istio";
const CLEAR: &str = "http/1.1,h2c";

/// Chains as: port, transport, ALPN, whether mutual TLS is ended, what they speak.
type Chain<'a> = (Option<u16>, &'a str, &'a str, bool, &'a str);

fn tell(chain: &FilterChain) -> (Option<u16>, &'static str, String, bool, &'static str) {
    let transport = match chain.matches.transport {
        Some(TransportProtocol::Tls) => "tls",
        Some(TransportProtocol::RawBuffer) => "raw",
        None => "any",
    };
    let speaks = match chain.terminal {
        Terminal::Http(_) => "http",
        Terminal::Tcp(_) => "tcp",
    };
    let alpn = chain.matches.application_protocols.join(",");
    let port = chain.matches.destination_port;
    (port, transport, alpn, chain.tls.is_some(), speaks)
}

/// The inbound chains of reviews' sidecar where its port has this name, under this mode.
fn plan(port_name: &str, mode: &str) -> Snapshot {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: reviews}}\nspec:\n  \
         selector: {{app: reviews}}\n  ports: [{{port: 9080, name: {port_name}}}]\n"
    );
    let policy = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{name: default}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
    );
    let town = Town::bookinfo(&[&service, &policy]);
    let (plan, problems) = town.plan(&town.sidecar("reviews-v1"));
    assert_eq!(problems, [""; 0]);
    plan
}

#[track_caller]
fn check(port_name: &str, mode: &str, strays: &[Chain<'_>], own: &[Chain<'_>]) {
    let plan = plan(port_name, mode);
    let inbound = listener(&plan, "virtualInbound");
    let got: Vec<_> = inbound.filter_chains.iter().map(tell).collect();
    let got: Vec<_> = got
        .iter()
        .map(|(p, t, a, m, s)| (*p, *t, &**a, *m, *s))
        .collect();
    let hole = (Some(15006), "any", "", false, "tcp");
    let want: Vec<_> = [hole].iter().chain(strays).chain(own).copied().collect();
    assert_eq!(got, want, "{port_name} {mode}");
}

#[test]
fn chains_by_mode_and_protocol() {
    const PORT: Option<u16> = Some(9080);
    let permissive = |port| {
        [
            (port, "tls", HTTP, true, "http"),
            (port, "raw", CLEAR, false, "http"),
            (port, "tls", TCP, true, "tcp"),
            (port, "raw", "", false, "tcp"),
            (port, "tls", "", false, "tcp"),
        ]
    };
    let strict = |port| {
        [
            (port, "tls", HTTP, true, "http"),
            (port, "tls", "", true, "tcp"),
        ]
    };
    let disable = |port| {
        [
            (port, "raw", CLEAR, false, "http"),
            (port, "raw", "", false, "tcp"),
        ]
    };

    let own = [
        (PORT, "tls", ALL, true, "http"),
        (PORT, "raw", "", false, "http"),
    ];
    check("http", "PERMISSIVE", &permissive(None), &own);
    let own = [
        (PORT, "tls", ALL, true, "tcp"),
        (PORT, "tls", "", false, "tcp"),
        (PORT, "raw", "", false, "tcp"),
    ];
    check("tcp", "PERMISSIVE", &permissive(None), &own);
    check("x", "PERMISSIVE", &permissive(None), &permissive(PORT));

    check(
        "http",
        "STRICT",
        &strict(None),
        &[(PORT, "tls", "", true, "http")],
    );
    check(
        "tcp",
        "STRICT",
        &strict(None),
        &[(PORT, "tls", "", true, "tcp")],
    );
    check("x", "STRICT", &strict(None), &strict(PORT));

    check(
        "http",
        "DISABLE",
        &disable(None),
        &[(PORT, "raw", "", false, "http")],
    );
    check(
        "tcp",
        "DISABLE",
        &disable(None),
        &[(PORT, "raw", "", false, "tcp")],
    );
    check("x", "DISABLE", &disable(None), &disable(PORT));
}

#[test]
fn requests_reach_the_application() {
    let plan = plan("http", "STRICT");
    let inbound = listener(&plan, "virtualInbound");
    assert_eq!(inbound.address.to_string(), "0.0.0.0:15006");
    assert!(inbound.bind_to_port && inbound.listener_filters.original_dst);
    let names: Vec<_> = inbound
        .filter_chains
        .iter()
        .map(|chain| &*chain.name)
        .collect();
    assert_eq!(
        names,
        [
            "virtualInbound-blackhole",
            "virtualInbound-catchall-http",
            "virtualInbound",
            "0.0.0.0_9080",
        ]
    );
    assert_eq!(
        proxied(&inbound.filter_chains[2]),
        "InboundPassthroughCluster"
    );

    let chain = &inbound.filter_chains[3];
    let tls = chain.tls.as_ref().unwrap();
    assert!(tls.require_client_certificate);
    assert_eq!(tls.alpn, ["h2", "http/1.1"]);
    let validation = tls.validation.as_ref().unwrap();
    let prefix = crate::name::Pattern::Prefix("spiffe://cluster.local/".into());
    assert_eq!(validation.names, [SanMatch::Uri(prefix)]);

    let manager = manager(chain);
    assert_eq!(&*manager.stat_prefix, "inbound_0.0.0.0_9080;");
    assert_eq!(&*manager.server_name, "istio-envoy");
    assert_eq!(
        manager.forward_client_cert,
        ForwardClientCert::AppendForward
    );
    assert!(!manager.filters.contains(&HttpFilter::IstioAlpn));
    let RouteSource::Inline(table) = &manager.routes else {
        panic!("a table of its own")
    };
    assert_eq!(&*table.name, "inbound|9080||");
    let [host] = &table.virtual_hosts[..] else {
        panic!("one host")
    };
    assert_eq!(&*host.name, "inbound|http|9080");
    assert_eq!(host.domains, ["*"]);
    let [route] = &host.routes[..] else {
        panic!("one route")
    };
    assert_eq!(
        route.operation.as_deref(),
        Some("reviews.default.svc.cluster.local:9080/*")
    );
    let RouteAction::Forward(forward) = &route.action else {
        panic!("forwards")
    };
    assert_eq!(
        forward.cluster,
        ClusterChoice::Single("inbound|9080||".into())
    );
    let retry = forward.retry.as_ref().unwrap();
    assert_eq!(retry.retry_on, ["reset-before-request"]);
    assert_eq!(retry.num_retries, 2);

    let cluster = &plan.clusters["inbound|9080||"];
    assert!(matches!(
        cluster.discovery,
        Discovery::OriginalDestination(_)
    ));
    assert_eq!(cluster.bind_source, Some([127, 0, 0, 6].into()));
    assert_eq!(&*cluster.metadata.services[0].name, "reviews");
}

#[test]
fn a_port_may_differ_and_so_may_a_stray_one() {
    let policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
                  metadata: {name: reviews}\nspec:\n  selector: {matchLabels: {app: reviews}}\n  \
                  mtls: {mode: STRICT}\n  portLevelMtls: {9080: {mode: DISABLE}, 7000: {mode: DISABLE}}\n";
    let town = Town::bookinfo(&[policy]);
    let (plan, _) = town.plan(&town.sidecar("reviews-v1"));
    let chains = listener(&plan, "virtualInbound")
        .filter_chains
        .iter()
        .map(tell);
    let by_port: Vec<_> = chains
        .skip(1)
        .map(|(port, transport, _, mutual, _)| (port, transport, mutual))
        .collect();
    assert_eq!(
        by_port,
        [
            (Some(7000), "raw", false),
            (Some(7000), "raw", false),
            (None, "tls", true),
            (None, "tls", true),
            (Some(9080), "raw", false),
        ]
    );
}

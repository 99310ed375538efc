//! Plans built by hand.

use std::{net::SocketAddr, sync::Arc};

use mesh_core::dataplane::{
    AccessLog, AccessLogFormat, ChainMatch, Cluster, ClusterChoice, DirectResponse, Direction,
    Discovery, Endpoint, EndpointSet, FilterChain, Forward, ForwardClientCert, HeaderEdits,
    HttpCodec, HttpConnectionManager, HttpFilter, Listener, ListenerFilters, LocalityEndpoints,
    Name, Node, NodeKind, PathMatch, Route, RouteAction, RouteMatch, RouteSource, RouteTable,
    ServerHeader, Snapshot, TcpProxy, Terminal, VirtualHost, WeightedCluster,
};
use mesh_core::name::Locality;

pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

pub(crate) fn node(workload: &str) -> Node {
    Node {
        kind: NodeKind::Sidecar,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        name: format!("{workload}-0"),
        namespace: "default".into(),
        service_account: workload.into(),
        workload: workload.into(),
        labels: [("app", workload), ("version", "v1")].into_iter().collect(),
        locality: Locality::default(),
        cluster_id: "Kubernetes".into(),
        domain: "cluster.local".into(),
        http_proxy_port: None,
    }
}

/// Forwards requests to a cluster.
pub(crate) fn forward(cluster: &str) -> Forward {
    Forward {
        cluster: ClusterChoice::Single(cluster.into()),
        ..Forward::default()
    }
}

pub(crate) fn route(prefix: &str, action: RouteAction) -> Route {
    Route {
        name: format!("route {prefix}").into(),
        matches: RouteMatch {
            path: PathMatch::Prefix(prefix.into()),
            ..RouteMatch::default()
        },
        action,
        headers: HeaderEdits::default(),
        fault: None,
        cors: None,
        operation: None,
        origin: None,
    }
}

/// A rule for everything.
pub(crate) fn to(cluster: &str) -> Route {
    route("/", RouteAction::Forward(forward(cluster)))
}

pub(crate) fn respond(status: u16, body: &str) -> RouteAction {
    RouteAction::Respond(DirectResponse {
        status,
        body: body.as_bytes().into(),
    })
}

pub(crate) fn virtual_host(domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: domains[0].into(),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        routes,
        ..VirtualHost::default()
    }
}

pub(crate) fn table(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteTable {
    RouteTable {
        name: name.into(),
        virtual_hosts,
        ignore_port_in_host_matching: true,
        headers: HeaderEdits::default(),
    }
}

/// Serves requests by rules for every host.
pub(crate) fn http(routes: Vec<Route>) -> HttpConnectionManager {
    http_by(RouteSource::Inline(Arc::new(table(
        "inline",
        vec![virtual_host(&["*"], routes)],
    ))))
}

pub(crate) fn http_by(routes: RouteSource) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: "test".into(),
        codec: HttpCodec::Auto,
        routes,
        filters: vec![
            HttpFilter::PeerMetadata,
            HttpFilter::Fault,
            HttpFilter::Cors,
        ],
        access_log: vec![istio_log()],
        server_name: "istio-envoy".into(),
        server_header: ServerHeader::Overwrite,
        forward_client_cert: ForwardClientCert::Sanitize,
        use_remote_address: false,
        trusted_hops: 0,
        normalize_path: true,
        merge_slashes: false,
        escaped_slashes: mesh_core::dataplane::EscapedSlashes::Keep,
        upgrades: vec!["websocket".into()],
        generate_request_id: true,
        preserve_external_request_id: false,
        stream_idle_timeout: None,
        request_headers_timeout: None,
        idle_timeout: None,
        max_request_headers_kb: None,
        max_concurrent_streams: None,
        tracing: None,
    }
}

pub(crate) fn istio_log() -> AccessLog {
    AccessLog {
        path: "/dev/stdout".into(),
        format: AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into()),
        filter: None,
    }
}

pub(crate) fn chain(name: &str, matches: ChainMatch, terminal: Terminal) -> FilterChain {
    FilterChain {
        name: name.into(),
        matches,
        tls: None,
        handshake_timeout: None,
        filters: Vec::new(),
        terminal,
    }
}

pub(crate) fn listener(name: &str, direction: Direction, chains: Vec<FilterChain>) -> Listener {
    Listener {
        name: name.into(),
        address: ANY_PORT.parse().unwrap(),
        bind_to_port: true,
        direction,
        use_original_dst: false,
        listener_filters: ListenerFilters::default(),
        filter_chains: chains,
        default_filter_chain: None,
        access_log: Vec::new(),
    }
}

/// An outbound listener `main` that serves requests.
pub(crate) fn outbound(http: HttpConnectionManager) -> Listener {
    let only = chain("only", ChainMatch::default(), Terminal::Http(http));
    listener("main", Direction::Outbound, vec![only])
}

pub(crate) fn tcp_to(cluster: &str) -> Terminal {
    Terminal::Tcp(TcpProxy {
        stat_prefix: "tcp".into(),
        clusters: vec![weighted(cluster, 1)],
        tunnel: None,
        hash_source: false,
        idle_timeout: None,
        access_log: vec![istio_log()],
        origin: None,
    })
}

pub(crate) fn weighted(cluster: &str, weight: u32) -> WeightedCluster {
    WeightedCluster {
        name: cluster.into(),
        weight,
        headers: HeaderEdits::default(),
    }
}

pub(crate) fn cluster(name: &str, instances: &[SocketAddr]) -> Cluster {
    let here = LocalityEndpoints {
        weight: 1,
        endpoints: instances.iter().map(|&at| Endpoint::at(at)).collect(),
        ..LocalityEndpoints::default()
    };
    let set = EndpointSet {
        name: name.into(),
        localities: vec![here],
    };
    Cluster::new(name, Discovery::Static(set))
}

pub(crate) fn plan(listeners: Vec<Listener>, clusters: Vec<Cluster>) -> Snapshot {
    Snapshot {
        version: "1".into(),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        clusters: clusters
            .into_iter()
            .map(|cluster| (Name::clone(&cluster.name), Arc::new(cluster)))
            .collect(),
        ..Snapshot::default()
    }
}

/// One rule, one cluster.
pub(crate) fn simple(route: Route, cluster: Cluster) -> Snapshot {
    plan(vec![outbound(http(vec![route]))], vec![cluster])
}

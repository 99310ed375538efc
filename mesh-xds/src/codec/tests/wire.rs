//! What arrives from elsewhere: what is refused, what is ignored, which defaults hold.

use std::time::Duration;

use mesh_core::dataplane::{HttpFilter, RouteAction, Terminal};
use prost::{Message, Name};

use super::*;
use crate::proto::{
    cluster as cds, core, endpoint, hcm, http_router, listener as lds, route as rds, tls,
};

fn decode_message<M: Message + Name>(message: &M) -> Decoded {
    decode(&any::pack(message).encode_to_vec()).unwrap()
}

fn check<M: Message + Name>(message: &M, want: &[(&str, Gravity)]) {
    let found: Vec<_> = decode_message(message)
        .problems
        .into_iter()
        .map(|problem| (problem.path, problem.gravity))
        .collect();
    let want: Vec<_> = want
        .iter()
        .map(|&(path, gravity)| (path.to_owned(), gravity))
        .collect();
    assert_eq!(found, want);
}

fn cluster() -> cds::Cluster {
    cds::Cluster {
        name: "c".into(),
        ..Default::default()
    }
}

fn listener(filters: Vec<hcm::HttpFilter>) -> lds::Listener {
    let manager = hcm::HttpConnectionManager {
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(
            hcm::Rds::default(),
        )),
        http_filters: filters,
        ..Default::default()
    };
    let chain = lds::FilterChain {
        filters: vec![lds::Filter {
            name: "http".into(),
            config_type: Some(lds::filter::ConfigType::TypedConfig(any::pack(&manager))),
        }],
        ..Default::default()
    };
    let address = scalar::address(scalar::host_and_port("127.0.0.1".into(), 80));
    lds::Listener {
        name: "l".into(),
        address: Some(address),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

fn http_filter(name: &str, type_name: &str, is_optional: bool) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.into(),
        is_optional,
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(wkt::Any {
            type_url: format!("type.googleapis.com/{type_name}"),
            value: Vec::new(),
        })),
        ..Default::default()
    }
}

fn router() -> hcm::HttpFilter {
    http_filter("router", &http_router::Router::full_name(), false)
}

#[test]
fn tuning_is_ignored() {
    check(
        &cds::Cluster {
            alt_stat_name: "x".into(),
            per_connection_buffer_limit_bytes: scalar::number(1),
            ..cluster()
        },
        &[
            ("alt_stat_name", Gravity::Ignored),
            ("per_connection_buffer_limit_bytes", Gravity::Ignored),
        ],
    );
}

#[test]
fn what_chooses_instances_is_refused() {
    check(
        &cds::Cluster {
            lb_subset_config: Some(Default::default()),
            load_balancing_policy: Some(Default::default()),
            ..cluster()
        },
        &[
            ("lb_subset_config", Gravity::Refused),
            ("load_balancing_policy", Gravity::Refused),
        ],
    );
}

#[test]
fn what_protects_is_refused_and_not_shown() {
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_certificates: vec![tls::TlsCertificate {
                pkcs12: Some(core::DataSource {
                    specifier: Some(core::data_source::Specifier::InlineString("hush".into())),
                    ..Default::default()
                }),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let wire = cds::Cluster {
        transport_socket: Some(core::TransportSocket {
            name: "tls".into(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(any::pack(
                &context,
            ))),
        }),
        ..cluster()
    };
    let path = "transport_socket.common_tls_context.tls_certificates[0]";
    check(
        &wire,
        &[
            (&format!("{path}.pkcs12"), Gravity::Refused),
            (path, Gravity::Refused),
        ],
    );
    assert!(!format!("{:?}", decode_message(&wire).problems).contains("hush"));
}

#[test]
fn a_condition_that_is_not_understood_refuses_the_route() {
    let route = rds::Route {
        r#match: Some(rds::RouteMatch {
            path_specifier: Some(rds::route_match::PathSpecifier::Prefix("/".into())),
            tls_context: Some(Default::default()),
            ..Default::default()
        }),
        stat_prefix: "s".into(),
        action: Some(rds::route::Action::Route(rds::RouteAction {
            cluster_specifier: Some(rds::route_action::ClusterSpecifier::Cluster("c".into())),
            ..Default::default()
        })),
        ..Default::default()
    };
    let table = rds::RouteConfiguration {
        name: "t".into(),
        virtual_hosts: vec![rds::VirtualHost {
            routes: vec![route],
            ..Default::default()
        }],
        ..Default::default()
    };
    check(
        &table,
        &[
            (
                "virtual_hosts[0].routes[0].match.tls_context",
                Gravity::Refused,
            ),
            ("virtual_hosts[0].routes[0].stat_prefix", Gravity::Ignored),
        ],
    );
    let Resource::Routes(table) = decode_message(&table).resource else {
        panic!("not a table")
    };
    let RouteAction::Forward(forward) = &table.virtual_hosts[0].routes[0].action else {
        panic!("not forwarded")
    };
    assert_eq!(forward.timeout, Some(Duration::from_secs(15)));
}

#[test]
fn filters() {
    let filters = vec![
        http_filter(
            "istio.metadata_exchange",
            "io.istio.http.peer_metadata.Config",
            false,
        ),
        http_filter(
            "istio.alpn",
            "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
            false,
        ),
        http_filter("istio.stats", "udpa.type.v1.TypedStruct", false),
        http_filter("own", "example.Optional", true),
        http_filter("own", "example.Required", false),
        router(),
    ];
    check(
        &listener(filters.clone()),
        &[
            (
                "filter_chains[0].filters[0].typed_config.http_filters[3].typed_config",
                Gravity::Ignored,
            ),
            (
                "filter_chains[0].filters[0].typed_config.http_filters[4].typed_config",
                Gravity::Refused,
            ),
        ],
    );
    let Resource::Listener(listener) = decode_message(&listener(filters)).resource else {
        panic!("not a listener")
    };
    let Terminal::Http(http) = &listener.filter_chains[0].terminal else {
        panic!("not HTTP")
    };
    assert_eq!(
        http.filters,
        [
            HttpFilter::PeerMetadata,
            HttpFilter::IstioAlpn,
            HttpFilter::IstioStats
        ]
    );
}

#[test]
fn a_listener_without_a_router_is_refused() {
    check(
        &listener(Vec::new()),
        &[(
            "filter_chains[0].filters[0].typed_config.http_filters",
            Gravity::Refused,
        )],
    );
}

#[test]
fn bytes_that_are_no_resource() {
    let unnamed = any::pack(&endpoint::ClusterLoadAssignment::default());
    let malformed = wkt::Any {
        type_url: type_url(ResourceType::Cluster).into(),
        value: vec![0xff],
    };
    let unknown = wkt::Any {
        type_url: "type.googleapis.com/example.Thing".into(),
        value: Vec::new(),
    };
    for (bytes, want) in [
        (unnamed.encode_to_vec(), "without a name"),
        (malformed.encode_to_vec(), "the bytes are not a"),
        (unknown.encode_to_vec(), "is not a resource type"),
        (vec![0xff], "google.protobuf.Any"),
    ] {
        let error = decode(&bytes).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

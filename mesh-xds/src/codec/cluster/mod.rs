//! `Cluster` ⇄ `envoy.config.cluster.v3.Cluster`.

mod balancing;
mod connection;
mod discovery;
mod limits;
mod protocol;

use std::{mem::take, net::IpAddr, time::Duration};

use mesh_core::dataplane::{
    Cluster, ClusterMetadata, Fraction, OutlierDetection, ServiceRef, TlsMatch, UpstreamTls,
};

use super::{
    any::pack,
    metadata::{
        ISTIO, MetadataReader, MetadataWriter, labels, list, object, object_value, read_labels,
        read_list, read_object, read_text, text,
    },
    reader::{Reader, Unread},
    scalar::{duration, host_and_port, number, read_duration, read_percent, read_socket_address},
    security,
};
use crate::proto::{cluster as v3, core, types, wkt};

use v3::cluster::common_lb_config::LocalityConfigSpecifier;

use balancing::{read_balancing, write_balancing};
use connection::{read_keepalive, read_proxy_protocol, write_keepalive, write_proxy_protocol};
use discovery::{read_discovery, write_discovery};
use limits::{limits, read_limits};
use protocol::{http_options, read_http_options};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's limit on opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's wait between two looks at instances for outliers.
const INTERVAL: Duration = Duration::from_secs(10);
/// Envoy's first time out for an outlier.
const BASE_EJECTION: Duration = Duration::from_secs(30);

pub(super) fn encode(value: &Cluster) -> v3::Cluster {
    let mut wire = v3::Cluster {
        name: value.name.to_string(),
        connect_timeout: Some(duration(value.connect_timeout)),
        circuit_breakers: Some(limits(&value.limits)),
        outlier_detection: value.outlier.as_ref().map(outlier),
        common_lb_config: Some(v3::cluster::CommonLbConfig {
            healthy_panic_threshold: Some(types::Percent {
                value: value.panic_threshold.into(),
            }),
            locality_config_specifier: value
                .by_locality
                .then(|| LocalityConfigSpecifier::LocalityWeightedLbConfig(Default::default())),
            ..Default::default()
        }),
        upstream_bind_config: value.bind_source.map(|ip| core::BindConfig {
            source_address: Some(host_and_port(ip.to_string(), 0)),
            ..Default::default()
        }),
        metadata: metadata(&value.metadata),
        ..Default::default()
    };
    write_balancing(&mut wire, &value.balancing, value.slow_start.as_ref());
    write_discovery(&mut wire, &value.discovery);
    write_tls(&mut wire, &value.tls);
    write_proxy_protocol(&mut wire, value.proxy_protocol);
    write_keepalive(&mut wire, value.tcp_keepalive.as_ref());
    if let Some(options) = http_options(value) {
        wire.typed_extension_protocol_options
            .insert(HTTP_OPTIONS.to_owned(), pack(&options));
    }
    wire
}

pub(crate) fn decode(r: &mut Reader, mut wire: v3::Cluster) -> Cluster {
    let name = take(&mut wire.name);
    let discovery = read_discovery(r, &name, &mut wire);
    let http = read_http_options(r, &mut wire);
    let mut common_lb = wire.common_lb_config.take().unwrap_or_default();
    let panic_threshold = read_percent(
        r,
        "common_lb_config.healthy_panic_threshold",
        common_lb.healthy_panic_threshold.take(),
        Fraction::per_million(500_000),
    );
    let by_locality = matches!(
        common_lb.locality_config_specifier,
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_))
    );
    if by_locality {
        common_lb.locality_config_specifier = None;
    }
    r.within("common_lb_config", |r| r.finish(common_lb, Unread::IGNORED));
    let (balancing, slow_start) = read_balancing(r, &mut wire);
    let proxy_protocol = read_proxy_protocol(r, &mut wire);
    let read = Cluster {
        name: name.into(),
        discovery,
        connect_timeout: read_duration(r, "connect_timeout", wire.connect_timeout.take())
            .unwrap_or(CONNECT_TIMEOUT),
        balancing,
        by_locality,
        slow_start,
        limits: read_limits(r, wire.circuit_breakers.take().unwrap_or_default()),
        outlier: wire
            .outlier_detection
            .take()
            .map(|wire| r.within("outlier_detection", |r| read_outlier(r, wire))),
        panic_threshold: (panic_threshold.parts() / 10_000) as u8,
        tls: read_tls(r, &mut wire),
        protocol: http.protocol,
        bind_source: wire
            .upstream_bind_config
            .take()
            .and_then(|wire| r.within("upstream_bind_config", |r| read_bind_source(r, wire))),
        idle_timeout: http.idle_timeout,
        max_requests_per_connection: http.max_requests,
        max_connection_duration: http.max_duration,
        max_concurrent_streams: http.max_streams,
        http2_keepalive: http.keepalive,
        tcp_keepalive: read_keepalive(r, &mut wire),
        proxy_protocol,
        metadata: read_metadata(r, wire.metadata.take()),
    };
    r.finish(wire, UNREAD_CLUSTER);
    read
}

/// What changes which instance is called or how it is protected.
const UNREAD_CLUSTER: Unread = Unread::IgnoredExcept(&[
    "lb_subset_config",
    "load_assignment",
    "load_balancing_policy",
    "transport_socket_matcher",
    "upstream_config",
]);

fn outlier(value: &OutlierDetection) -> v3::OutlierDetection {
    let enforced = |count: u32| number(if count > 0 { 100 } else { 0 });
    v3::OutlierDetection {
        consecutive_5xx: number(value.consecutive_5xx),
        enforcing_consecutive_5xx: enforced(value.consecutive_5xx),
        consecutive_gateway_failure: number(value.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: enforced(value.consecutive_gateway_errors),
        consecutive_local_origin_failure: number(value.consecutive_local_origin_failures),
        enforcing_consecutive_local_origin_failure: enforced(
            value.consecutive_local_origin_failures,
        ),
        split_external_local_origin_errors: value.split_local_origin,
        interval: Some(duration(value.interval)),
        base_ejection_time: Some(duration(value.base_ejection)),
        max_ejection_percent: number(value.max_ejection_percent.into()),
        enforcing_success_rate: number(0),
        ..Default::default()
    }
}

/// A count that is not enforced is none.
fn read_outlier(r: &mut Reader, mut wire: v3::OutlierDetection) -> OutlierDetection {
    let count = |value: &mut Option<wkt::UInt32Value>,
                 enforcing: &mut Option<wkt::UInt32Value>,
                 unset: u32| {
        let value = value.take().map_or(5, |value| value.value);
        match enforcing.take().map_or(unset, |share| share.value) {
            0 => 0,
            _ => value,
        }
    };
    let read = OutlierDetection {
        consecutive_5xx: count(
            &mut wire.consecutive_5xx,
            &mut wire.enforcing_consecutive_5xx,
            100,
        ),
        consecutive_gateway_errors: count(
            &mut wire.consecutive_gateway_failure,
            &mut wire.enforcing_consecutive_gateway_failure,
            0,
        ),
        consecutive_local_origin_failures: count(
            &mut wire.consecutive_local_origin_failure,
            &mut wire.enforcing_consecutive_local_origin_failure,
            100,
        ),
        split_local_origin: take(&mut wire.split_external_local_origin_errors),
        interval: read_duration(r, "interval", wire.interval.take()).unwrap_or(INTERVAL),
        base_ejection: read_duration(r, "base_ejection_time", wire.base_ejection_time.take())
            .unwrap_or(BASE_EJECTION),
        max_ejection_percent: wire
            .max_ejection_percent
            .take()
            .map_or(10, |percent| percent.value.min(100) as u8),
    };
    if wire.enforcing_success_rate == number(0) {
        wire.enforcing_success_rate = None;
    }
    r.finish(wire, Unread::IGNORED);
    read
}

fn write_tls(wire: &mut v3::Cluster, value: &UpstreamTls) {
    match value {
        UpstreamTls::Off => {}
        UpstreamTls::Always(tls) => wire.transport_socket = Some(security::client_socket(tls)),
        UpstreamTls::ByEndpoint(matches) => {
            wire.transport_socket_matches = matches
                .iter()
                .map(|entry| v3::cluster::TransportSocketMatch {
                    name: entry.name.to_string(),
                    r#match: Some(labels(&entry.labels)),
                    transport_socket: Some(
                        entry
                            .tls
                            .as_ref()
                            .map_or_else(security::plain_socket, security::client_socket),
                    ),
                })
                .collect();
        }
    }
}

fn read_tls(r: &mut Reader, wire: &mut v3::Cluster) -> UpstreamTls {
    let matches = take(&mut wire.transport_socket_matches);
    let always = wire.transport_socket.take();
    if matches.is_empty() {
        return always
            .and_then(|wire| {
                r.within("transport_socket", |r| {
                    security::read_client_socket(r, wire)
                })
            })
            .map_or(UpstreamTls::Off, UpstreamTls::Always);
    }
    let mut entries = r.each("transport_socket_matches", matches, |r, wire| TlsMatch {
        name: wire.name.into(),
        labels: read_labels(wire.r#match.unwrap_or_default()),
        tls: wire.transport_socket.and_then(|wire| {
            r.within("transport_socket", |r| {
                security::read_client_socket(r, wire)
            })
        }),
    });
    // Instances that no entry is for use the cluster's own socket.
    if let Some(always) = always {
        entries.push(TlsMatch {
            name: "default".into(),
            labels: Default::default(),
            tls: r.within("transport_socket", |r| {
                security::read_client_socket(r, always)
            }),
        });
    }
    UpstreamTls::ByEndpoint(entries)
}

fn read_bind_source(r: &mut Reader, mut wire: core::BindConfig) -> Option<IpAddr> {
    let source = wire.source_address.take();
    r.finish(wire, Unread::IGNORED);
    let (host, _) = read_socket_address(r, source?)?;
    let source = host.parse().ok();
    if source.is_none() {
        r.refuse("source_address", format!("is not an IP address ({host})"));
    }
    source
}

fn metadata(value: &ClusterMetadata) -> Option<core::Metadata> {
    let mut metadata = MetadataWriter::default();
    metadata.put_origin(value.origin.as_ref());
    if !value.services.is_empty() {
        let services = value.services.iter().map(|service| {
            object_value(object([
                ("host", text(&*service.host)),
                ("name", text(&*service.name)),
                ("namespace", text(&*service.namespace)),
            ]))
        });
        metadata.put(ISTIO, "services", list(services.collect()));
    }
    if !value.subset.is_empty() {
        metadata.put(ISTIO, "subset", text(value.subset.as_str()));
    }
    if !value.istio_alpn {
        metadata.put(ISTIO, "alpn_override", text("false"));
    }
    metadata.finish()
}

fn read_metadata(r: &mut Reader, wire: Option<core::Metadata>) -> ClusterMetadata {
    let mut metadata = MetadataReader::new(wire);
    let services = metadata.take(ISTIO, "services").map(read_list);
    let read = ClusterMetadata {
        services: services.into_iter().flatten().map(read_service).collect(),
        subset: metadata.take_text(ISTIO, "subset").unwrap_or_default(),
        origin: metadata.take_origin(),
        istio_alpn: metadata.take_text(ISTIO, "alpn_override").as_deref() != Some("false"),
    };
    metadata.finish(r);
    read
}

fn read_service(value: wkt::Value) -> ServiceRef {
    let mut fields = read_object(value).fields;
    let mut field = |key| {
        fields
            .remove(key)
            .and_then(read_text)
            .unwrap_or_default()
            .into()
    };
    ServiceRef {
        host: field("host"),
        name: field("name"),
        namespace: field("namespace"),
    }
}

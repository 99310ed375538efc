//! Network filters ⇄ Envoy's extensions.

use std::{mem::take, time::Duration};

use mesh_core::dataplane::{
    EscapedSlashes, ForwardClientCert, HttpCodec, HttpConnectionManager, NetworkFilter,
    RouteSource, ServerHeader, TcpProxy, Tunnel, WeightedCluster,
};

use super::{
    access,
    any::{full_name, holds, pack, unpack},
    ext_authz,
    http_filter::{http_filter, read_http_filters, required, unreachable_filter},
    metadata::{MetadataReader, MetadataWriter},
    reader::{Reader, Unread},
    route,
    scalar::{boolean, duration, duration_or_zero, number, read_duration, read_duration_or_zero},
    telemetry,
};
use crate::proto::{
    core, hcm, http_router, listener, network_ext_authz, network_rbac, tcp_proxy,
    types::{HashPolicy, hash_policy},
    wkt,
};

use hcm::http_connection_manager as hcm_types;

/// Envoy's wait for a stream on which nothing moves.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Envoy's wait for a TCP connection on which nothing moves.
const TCP_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// From the same stream everything else comes from.
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        initial_fetch_timeout: None,
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource::default(),
        )),
        ..Default::default()
    }
}

/// What the filters of a chain come to.
pub(super) enum Read {
    Filter(NetworkFilter),
    Tcp(TcpProxy),
    Http(Box<HttpConnectionManager>),
    Nothing,
}

pub(super) fn network_filter(value: &NetworkFilter) -> listener::Filter {
    match value {
        NetworkFilter::Rbac(rbac) => wire_filter(
            "envoy.filters.network.rbac",
            pack(&access::network_filter(rbac)),
        ),
        NetworkFilter::ExtAuthz(asks) => wire_filter(
            ext_authz::NETWORK_NAME,
            pack(&ext_authz::network_filter(asks)),
        ),
        other => unreachable_filter(other),
    }
}

pub(super) fn tcp_filter(value: &TcpProxy) -> listener::Filter {
    wire_filter("envoy.filters.network.tcp_proxy", pack(&tcp(value)))
}

pub(super) fn http_connection_filter(value: &HttpConnectionManager) -> listener::Filter {
    wire_filter(
        "envoy.filters.network.http_connection_manager",
        pack(&http(value)),
    )
}

fn wire_filter(name: &str, config: wkt::Any) -> listener::Filter {
    listener::Filter {
        name: name.into(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
    }
}

pub(super) fn read_network_filter(r: &mut Reader, wire: listener::Filter) -> Read {
    let any = match wire.config_type {
        Some(listener::filter::ConfigType::TypedConfig(any)) => any,
        Some(listener::filter::ConfigType::ConfigDiscovery(_)) => {
            r.refuse("config_discovery", "is not supported");
            return Read::Nothing;
        }
        None => {
            r.refuse("typed_config", format!("is missing for {}", wire.name));
            return Read::Nothing;
        }
    };
    r.within("typed_config", |r| read_network_config(r, &wire.name, &any))
        .unwrap_or(Read::Nothing)
}

fn read_network_config(r: &mut Reader, name: &str, any: &wkt::Any) -> Option<Read> {
    if holds::<hcm::HttpConnectionManager>(any) {
        return unpack(r, any).map(|wire| Read::Http(Box::new(read_http(r, wire))));
    }
    if holds::<tcp_proxy::TcpProxy>(any) {
        return unpack(r, any).map(|wire| Read::Tcp(read_tcp(r, wire)));
    }
    if holds::<network_rbac::Rbac>(any) {
        return unpack(r, any)
            .map(|wire| Read::Filter(NetworkFilter::Rbac(access::read_network_filter(r, wire))));
    }
    if holds::<network_ext_authz::ExtAuthz>(any) {
        let wire = unpack(r, any)?;
        let read = ext_authz::read_network_filter(r, wire)?;
        return Some(Read::Filter(NetworkFilter::ExtAuthz(read)));
    }
    // Telemetry of TCP connections; nothing is decided there.
    if name.starts_with("istio.") || name.starts_with("envoy.filters.network.metadata_exchange") {
        r.ignore("", format!("{name} is not supported"));
    } else {
        r.refuse("", format!("{} is not supported", full_name(&any.type_url)));
    }
    None
}

fn tcp(value: &TcpProxy) -> tcp_proxy::TcpProxy {
    use tcp_proxy::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster};
    let clusters = match value.clusters.as_slice() {
        [one] => ClusterSpecifier::Cluster(one.name.to_string()),
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several
                .iter()
                .map(|cluster| weighted_cluster::ClusterWeight {
                    name: cluster.name.to_string(),
                    weight: cluster.weight,
                    ..Default::default()
                })
                .collect(),
        }),
    };
    let mut metadata = MetadataWriter::default();
    metadata.put_origin(value.origin.as_ref());
    tcp_proxy::TcpProxy {
        stat_prefix: value.stat_prefix.to_string(),
        idle_timeout: duration_or_zero(value.idle_timeout),
        tunneling_config: value.tunnel.as_ref().map(|tunnel| {
            tcp_proxy::tcp_proxy::TunnelingConfig {
                hostname: tunnel.target.clone(),
                use_post: tunnel.by_post,
                ..Default::default()
            }
        }),
        hash_policy: value.hash_source.then(source_hash).into_iter().collect(),
        access_log: value.access_log.iter().map(telemetry::access_log).collect(),
        // Only compared with endpoint metadata under `envoy.lb`, so an origin is safe here.
        metadata_match: metadata.finish(),
        cluster_specifier: Some(clusters),
        ..Default::default()
    }
}

fn read_tcp(r: &mut Reader, mut wire: tcp_proxy::TcpProxy) -> TcpProxy {
    use tcp_proxy::tcp_proxy::ClusterSpecifier;
    let cluster = |name: String, weight| WeightedCluster {
        name: name.into(),
        weight,
        headers: Default::default(),
    };
    let clusters = match wire.cluster_specifier.take() {
        Some(ClusterSpecifier::Cluster(name)) => vec![cluster(name, 1)],
        Some(ClusterSpecifier::WeightedClusters(wire)) => r.each(
            "weighted_clusters.clusters",
            wire.clusters,
            |r, mut wire| {
                let read = cluster(take(&mut wire.name), take(&mut wire.weight));
                r.finish(wire, Unread::REFUSED);
                read
            },
        ),
        None => {
            r.refuse("cluster", "is missing");
            Vec::new()
        }
    };
    let mut metadata = MetadataReader::new(wire.metadata_match.take());
    let read = TcpProxy {
        stat_prefix: take(&mut wire.stat_prefix).into(),
        clusters,
        idle_timeout: read_duration_or_zero(
            r,
            "idle_timeout",
            wire.idle_timeout.take(),
            Some(TCP_IDLE_TIMEOUT),
        ),
        tunnel: wire
            .tunneling_config
            .take()
            .map(|wire| r.within("tunneling_config", |r| read_tunnel(r, wire))),
        hash_source: read_source_hash(r, take(&mut wire.hash_policy)),
        access_log: telemetry::read_access_logs(r, "access_log", take(&mut wire.access_log)),
        origin: metadata.take_origin(),
    };
    metadata.finish(r);
    r.finish(
        wire,
        Unread::IgnoredExcept(&["on_demand", "upstream_connect_mode"]),
    );
    read
}

fn source_hash() -> HashPolicy {
    let source = hash_policy::PolicySpecifier::SourceIp(hash_policy::SourceIp {});
    HashPolicy {
        policy_specifier: Some(source),
    }
}

/// Of what may be hashed only the caller's address is there for every connection.
fn read_source_hash(r: &mut Reader, wire: Vec<HashPolicy>) -> bool {
    let read = r.each("hash_policy", wire, |r, policy| {
        let is_source = policy == source_hash();
        if !is_source {
            r.refuse("", "only source_ip is supported");
        }
        is_source
    });
    read.into_iter().any(|is_source| is_source)
}

fn read_tunnel(r: &mut Reader, mut wire: tcp_proxy::tcp_proxy::TunnelingConfig) -> Tunnel {
    let read = Tunnel {
        target: take(&mut wire.hostname),
        by_post: take(&mut wire.use_post),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

fn http(value: &HttpConnectionManager) -> hcm::HttpConnectionManager {
    use hcm_types::{
        CodecType, ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
        ServerHeaderTransformation,
    };
    let routes = match &value.routes {
        RouteSource::Named(name) => RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads()),
            route_config_name: name.to_string(),
        }),
        RouteSource::Inline(table) => RouteSpecifier::RouteConfig(route::encode(table)),
    };
    let adds_client_cert = matches!(
        value.forward_client_cert,
        ForwardClientCert::AppendForward | ForwardClientCert::SanitizeSet
    );
    hcm::HttpConnectionManager {
        stat_prefix: value.stat_prefix.to_string(),
        codec_type: match value.codec {
            HttpCodec::Auto => CodecType::Auto,
            HttpCodec::Http1 => CodecType::Http1,
            HttpCodec::Http2 => CodecType::Http2,
        }
        .into(),
        route_specifier: Some(routes),
        http_filters: value
            .filters
            .iter()
            .map(http_filter)
            .chain([required(
                "envoy.filters.http.router",
                pack(&http_router::Router::default()),
            )])
            .collect(),
        access_log: value.access_log.iter().map(telemetry::access_log).collect(),
        server_name: value.server_name.to_string(),
        server_header_transformation: match value.server_header {
            ServerHeader::Overwrite => ServerHeaderTransformation::Overwrite,
            ServerHeader::AppendIfAbsent => ServerHeaderTransformation::AppendIfAbsent,
            ServerHeader::PassThrough => ServerHeaderTransformation::PassThrough,
        }
        .into(),
        forward_client_cert_details: match value.forward_client_cert {
            ForwardClientCert::Sanitize => ForwardClientCertDetails::Sanitize,
            ForwardClientCert::ForwardOnly => ForwardClientCertDetails::ForwardOnly,
            ForwardClientCert::AppendForward => ForwardClientCertDetails::AppendForward,
            ForwardClientCert::SanitizeSet => ForwardClientCertDetails::SanitizeSet,
            ForwardClientCert::AlwaysForwardOnly => ForwardClientCertDetails::AlwaysForwardOnly,
        }
        .into(),
        set_current_client_cert_details: adds_client_cert.then(istio_client_cert_details),
        use_remote_address: boolean(value.use_remote_address),
        xff_num_trusted_hops: value.trusted_hops,
        normalize_path: boolean(value.normalize_path),
        merge_slashes: value.merge_slashes,
        path_with_escaped_slashes_action: match value.escaped_slashes {
            EscapedSlashes::Keep => PathWithEscapedSlashesAction::KeepUnchanged,
            EscapedSlashes::Reject => PathWithEscapedSlashesAction::RejectRequest,
            EscapedSlashes::UnescapeAndRedirect => {
                PathWithEscapedSlashesAction::UnescapeAndRedirect
            }
            EscapedSlashes::UnescapeAndForward => PathWithEscapedSlashesAction::UnescapeAndForward,
        }
        .into(),
        upgrade_configs: value
            .upgrades
            .iter()
            .map(|upgrade| hcm_types::UpgradeConfig {
                upgrade_type: upgrade.clone(),
                ..Default::default()
            })
            .collect(),
        generate_request_id: boolean(value.generate_request_id),
        preserve_external_request_id: value.preserve_external_request_id,
        stream_idle_timeout: duration_or_zero(value.stream_idle_timeout),
        request_headers_timeout: value.request_headers_timeout.map(duration),
        common_http_protocol_options: value.idle_timeout.map(|idle| core::HttpProtocolOptions {
            idle_timeout: Some(duration(idle)),
            ..Default::default()
        }),
        http2_protocol_options: value.max_concurrent_streams.map(|max| {
            core::Http2ProtocolOptions {
                max_concurrent_streams: number(max),
                ..Default::default()
            }
        }),
        max_request_headers_kb: value.max_request_headers_kb.and_then(number),
        tracing: value.tracing.as_ref().map(telemetry::tracing),
        ..Default::default()
    }
}

fn istio_client_cert_details() -> hcm_types::SetCurrentClientCertDetails {
    hcm_types::SetCurrentClientCertDetails {
        subject: boolean(true),
        uri: true,
        dns: true,
        ..Default::default()
    }
}

fn read_http(r: &mut Reader, mut wire: hcm::HttpConnectionManager) -> HttpConnectionManager {
    let codec = read_codec(r, take(&mut wire.codec_type));
    let routes = read_route_source(r, wire.route_specifier.take());
    let filters = read_http_filters(r, take(&mut wire.http_filters));
    if wire.set_current_client_cert_details == Some(istio_client_cert_details()) {
        wire.set_current_client_cert_details = None;
    }
    let mut common = wire.common_http_protocol_options.take().unwrap_or_default();
    let idle_timeout = common.idle_timeout.take();
    let mut http2 = wire.http2_protocol_options.take().unwrap_or_default();
    let max_concurrent_streams = http2.max_concurrent_streams.take();
    r.within("common_http_protocol_options", |r| {
        r.finish(
            common,
            Unread::IgnoredExcept(&["headers_with_underscores_action"]),
        );
    });
    r.within("http2_protocol_options", |r| {
        r.finish(http2, Unread::IGNORED)
    });
    let upgrades = r
        .each(
            "upgrade_configs",
            take(&mut wire.upgrade_configs),
            read_upgrade,
        )
        .into_iter()
        .flatten()
        .collect();
    let server_name = Some(take(&mut wire.server_name)).filter(|name| !name.is_empty());
    let read = HttpConnectionManager {
        stat_prefix: take(&mut wire.stat_prefix).into(),
        codec,
        routes,
        filters,
        access_log: telemetry::read_access_logs(r, "access_log", take(&mut wire.access_log)),
        server_name: server_name.as_deref().unwrap_or("envoy").into(),
        server_header: read_server_header(r, take(&mut wire.server_header_transformation)),
        forward_client_cert: read_client_cert(r, take(&mut wire.forward_client_cert_details)),
        use_remote_address: wire.use_remote_address.take().unwrap_or_default().value,
        trusted_hops: take(&mut wire.xff_num_trusted_hops),
        normalize_path: wire.normalize_path.take().unwrap_or_default().value,
        merge_slashes: take(&mut wire.merge_slashes),
        escaped_slashes: read_slashes(r, take(&mut wire.path_with_escaped_slashes_action)),
        upgrades,
        generate_request_id: wire
            .generate_request_id
            .take()
            .is_none_or(|flag| flag.value),
        preserve_external_request_id: take(&mut wire.preserve_external_request_id),
        stream_idle_timeout: read_duration_or_zero(
            r,
            "stream_idle_timeout",
            wire.stream_idle_timeout.take(),
            Some(STREAM_IDLE_TIMEOUT),
        ),
        request_headers_timeout: read_duration_or_zero(
            r,
            "request_headers_timeout",
            wire.request_headers_timeout.take(),
            None,
        ),
        idle_timeout: read_duration(r, "common_http_protocol_options.idle_timeout", idle_timeout),
        max_request_headers_kb: wire.max_request_headers_kb.take().map(|kb| kb.value),
        max_concurrent_streams: max_concurrent_streams.map(|max| max.value),
        tracing: wire
            .tracing
            .take()
            .map(|wire| r.within("tracing", |r| telemetry::read_tracing(r, wire))),
    };
    r.finish(wire, UNREAD_HTTP);
    read
}

/// What changes who a caller is taken for, or which route a request takes.
const UNREAD_HTTP: Unread = Unread::IgnoredExcept(&[
    "early_header_mutation_extensions",
    "forward_client_cert_matcher",
    "forward_proto_config",
    "original_ip_detection_extensions",
    "path_normalization_options",
    "scheme_header_transformation",
    "strip_matching_host_port",
    "strip_port_mode",
    "strip_trailing_host_dot",
    "typed_header_validation_config",
]);

fn read_codec(r: &mut Reader, wire: i32) -> HttpCodec {
    use hcm_types::CodecType;
    match CodecType::try_from(wire) {
        Ok(CodecType::Auto) => HttpCodec::Auto,
        Ok(CodecType::Http1) => HttpCodec::Http1,
        Ok(CodecType::Http2) => HttpCodec::Http2,
        Ok(CodecType::Http3) | Err(_) => {
            r.refuse("codec_type", "is not supported");
            HttpCodec::Auto
        }
    }
}

fn read_route_source(r: &mut Reader, wire: Option<hcm_types::RouteSpecifier>) -> RouteSource {
    use hcm_types::RouteSpecifier;
    match wire {
        Some(RouteSpecifier::Rds(wire)) => RouteSource::Named(wire.route_config_name.into()),
        Some(RouteSpecifier::RouteConfig(wire)) => {
            RouteSource::Inline(r.within("route_config", |r| route::decode(r, wire)).into())
        }
        Some(RouteSpecifier::ScopedRoutes(_)) | None => {
            r.refuse("route_specifier", "names neither a route table nor RDS");
            RouteSource::Inline(Default::default())
        }
    }
}

fn read_server_header(r: &mut Reader, wire: i32) -> ServerHeader {
    use hcm_types::ServerHeaderTransformation as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::Overwrite) => ServerHeader::Overwrite,
        Ok(Wire::AppendIfAbsent) => ServerHeader::AppendIfAbsent,
        Ok(Wire::PassThrough) => ServerHeader::PassThrough,
        Err(_) => {
            r.ignore("server_header_transformation", "is unknown");
            ServerHeader::Overwrite
        }
    }
}

fn read_client_cert(r: &mut Reader, wire: i32) -> ForwardClientCert {
    use hcm_types::ForwardClientCertDetails as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::Sanitize) => ForwardClientCert::Sanitize,
        Ok(Wire::ForwardOnly) => ForwardClientCert::ForwardOnly,
        Ok(Wire::AppendForward) => ForwardClientCert::AppendForward,
        Ok(Wire::SanitizeSet) => ForwardClientCert::SanitizeSet,
        Ok(Wire::AlwaysForwardOnly) => ForwardClientCert::AlwaysForwardOnly,
        Err(_) => {
            r.refuse("forward_client_cert_details", "is unknown");
            ForwardClientCert::Sanitize
        }
    }
}

fn read_slashes(r: &mut Reader, wire: i32) -> EscapedSlashes {
    use hcm_types::PathWithEscapedSlashesAction as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::ImplementationSpecificDefault | Wire::KeepUnchanged) => EscapedSlashes::Keep,
        Ok(Wire::RejectRequest) => EscapedSlashes::Reject,
        Ok(Wire::UnescapeAndRedirect) => EscapedSlashes::UnescapeAndRedirect,
        Ok(Wire::UnescapeAndForward) => EscapedSlashes::UnescapeAndForward,
        Err(_) => {
            r.refuse("path_with_escaped_slashes_action", "is unknown");
            EscapedSlashes::Reject
        }
    }
}

fn read_upgrade(r: &mut Reader, mut wire: hcm_types::UpgradeConfig) -> Option<String> {
    let name = take(&mut wire.upgrade_type);
    let enabled = wire.enabled.take().is_none_or(|flag| flag.value);
    r.finish(wire, Unread::REFUSED);
    enabled.then_some(name)
}

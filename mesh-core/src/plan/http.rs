//! How requests are taken out of connections: Istio's settings of the connection manager.

use super::{telemetry, view::View};
use crate::dataplane::{
    EscapedSlashes, ForwardClientCert, HttpCodec, HttpConnectionManager, HttpFilter, RouteSource,
    ServerHeader,
};
use crate::mesh::PathSpelling;

/// Where a connection manager stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Between the application and what it calls.
    Outbound,
    /// Between what calls and the application.
    Inbound,
    /// At the edge.
    Edge,
}

/// Istio's settings for a side. `access` decides who may call, in order.
pub(super) fn connection_manager(
    view: &View<'_>,
    side: Side,
    stat_prefix: &str,
    routes: RouteSource,
    access: &[HttpFilter],
) -> HttpConnectionManager {
    let paths = view.mesh.defaults().paths;
    HttpConnectionManager {
        stat_prefix: stat_prefix.into(),
        codec: HttpCodec::Auto,
        routes,
        filters: filters(side, access),
        access_log: telemetry::access_log(view.options),
        // Outbound, the name is Envoy's own: kept for compatibility by Istio.
        server_name: match side {
            Side::Outbound => "envoy".into(),
            Side::Inbound | Side::Edge => "istio-envoy".into(),
        },
        server_header: ServerHeader::Overwrite,
        forward_client_cert: match side {
            Side::Outbound => ForwardClientCert::Sanitize,
            Side::Inbound => ForwardClientCert::AppendForward,
            Side::Edge => ForwardClientCert::SanitizeSet,
        },
        use_remote_address: side == Side::Edge,
        trusted_hops: 0,
        normalize_path: paths >= PathSpelling::Normal,
        merge_slashes: paths >= PathSpelling::MergedSlashes,
        escaped_slashes: match paths {
            PathSpelling::DecodedSlashes => EscapedSlashes::UnescapeAndForward,
            _ => EscapedSlashes::Keep,
        },
        upgrades: vec!["websocket".into()],
        generate_request_id: true,
        preserve_external_request_id: side != Side::Edge,
        stream_idle_timeout: None,
        request_headers_timeout: None,
        idle_timeout: None,
        max_request_headers_kb: None,
        max_concurrent_streams: None,
        tracing: view.options.tracing,
    }
}

/// Istio's order. The peer must be known before anybody is judged.
fn filters(side: Side, access: &[HttpFilter]) -> Vec<HttpFilter> {
    let mut filters = vec![HttpFilter::PeerMetadata];
    filters.extend_from_slice(access);
    filters.push(HttpFilter::GrpcStats);
    if side != Side::Inbound {
        filters.push(HttpFilter::IstioAlpn);
    }
    filters.extend([HttpFilter::Fault, HttpFilter::Cors, HttpFilter::IstioStats]);
    filters
}

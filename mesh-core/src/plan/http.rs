//! How requests are taken out of connections: Istio's settings of the connection manager.

use std::time::Duration;

use super::{limits, view::View};
use crate::mesh::PathSpelling;
use crate::{
    dataplane::{
        EscapedSlashes, ForwardClientCert, HttpCodec, HttpConnectionManager, HttpFilter,
        RouteSource, ServerHeader,
    },
    mesh::{ForwardedClientCert, ProxySettings},
};

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
    let recording = match side {
        Side::Inbound => &view.as_server,
        Side::Outbound | Side::Edge => &view.as_client,
    };
    let mut manager = HttpConnectionManager {
        stat_prefix: stat_prefix.into(),
        codec: HttpCodec::Auto,
        routes,
        filters: filters(view, side, access, recording.metrics.as_ref()),
        access_log: recording.access_log.clone(),
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
        tracing: recording.tracing.clone(),
    };
    settle(&mut manager, side, &view.mesh.defaults().proxies);
    manager
}

/// Changes what proxies are set to do otherwise than Istio's default.
fn settle(manager: &mut HttpConnectionManager, side: Side, settings: &ProxySettings) {
    if side == Side::Edge {
        manager.trusted_hops = settings.trusted_proxies;
        if let Some(details) = settings.gateway_client_cert {
            manager.forward_client_cert = client_cert(details);
        }
        if settings.edge_profile {
            bound(manager);
        }
    }
    if let (Side::Inbound, Some(details)) = (side, settings.sidecar_client_cert) {
        manager.forward_client_cert = client_cert(details);
    }
    manager.generate_request_id = !settings.no_request_id;
    match settings.server.as_deref() {
        None => {}
        Some("") => manager.server_header = ServerHeader::PassThrough,
        Some(value) => manager.server_name = value.into(),
    }
}

/// Istio's profile EDGE: bounds for callers that nobody knows.
fn bound(manager: &mut HttpConnectionManager) {
    manager.idle_timeout = Some(Duration::from_secs(60 * 60));
    manager.stream_idle_timeout = Some(Duration::from_secs(5 * 60));
    manager.request_headers_timeout = Some(Duration::from_secs(60));
    manager.max_concurrent_streams = Some(100);
    manager.merge_slashes = true;
    manager.escaped_slashes = EscapedSlashes::UnescapeAndRedirect;
}

fn client_cert(details: ForwardedClientCert) -> ForwardClientCert {
    match details {
        ForwardedClientCert::Undefined | ForwardedClientCert::Sanitize => {
            ForwardClientCert::Sanitize
        }
        ForwardedClientCert::ForwardOnly => ForwardClientCert::ForwardOnly,
        ForwardedClientCert::AppendForward => ForwardClientCert::AppendForward,
        ForwardedClientCert::SanitizeSet => ForwardClientCert::SanitizeSet,
        ForwardedClientCert::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
    }
}

/// Istio's order. The peer must be known before anybody is judged, and a caller who may not call
/// uses up nobody's limit.
fn filters(
    view: &View<'_>,
    side: Side,
    access: &[HttpFilter],
    metrics: Option<&HttpFilter>,
) -> Vec<HttpFilter> {
    let mut filters = vec![HttpFilter::PeerMetadata];
    filters.extend_from_slice(access);
    if side != Side::Outbound {
        filters.extend(limits::in_effect(view));
    }
    filters.push(HttpFilter::GrpcStats);
    if side != Side::Inbound {
        filters.push(HttpFilter::IstioAlpn);
    }
    filters.extend([HttpFilter::Fault, HttpFilter::Cors]);
    filters.extend(metrics.cloned());
    filters
}

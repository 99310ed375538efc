use std::{mem::take, time::Duration};

use mesh_core::dataplane::{
    ClusterChoice, DirectResponse, Forward, PathRewrite, PortRedirect, Redirect, RouteAction,
    SchemeRedirect, WeightedCluster,
};

use crate::{
    codec::{
        policy::{self, WireEdits},
        reader::{Reader, Unread},
        scalar::{
            duration, duration_or_zero, number, read_duration, read_duration_or_zero, read_port,
        },
    },
    proto::{core, route as v3},
};

use core::data_source::Specifier;
use v3::{
    redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
    route_action::{ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier},
};

/// Envoy's limit on a request.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn encode(value: &RouteAction) -> v3::route::Action {
    match value {
        RouteAction::Forward(value) => v3::route::Action::Route(forward(value)),
        RouteAction::Redirect(value) => v3::route::Action::Redirect(redirect(value)),
        RouteAction::Respond(value) => v3::route::Action::DirectResponse(respond(value)),
    }
}

pub(super) fn decode(r: &mut Reader, wire: Option<v3::route::Action>) -> RouteAction {
    match wire {
        Some(v3::route::Action::Route(wire)) => {
            RouteAction::Forward(r.within("route", |r| read_forward(r, wire)))
        }
        Some(v3::route::Action::Redirect(wire)) => {
            RouteAction::Redirect(r.within("redirect", |r| read_redirect(r, wire)))
        }
        Some(v3::route::Action::DirectResponse(wire)) => {
            RouteAction::Respond(r.within("direct_response", |r| read_respond(r, wire)))
        }
        _ => {
            r.refuse("action", "neither forwards, redirects nor responds");
            RouteAction::Respond(DirectResponse::default())
        }
    }
}

fn forward(value: &Forward) -> v3::RouteAction {
    let mut wire = v3::RouteAction {
        cluster_specifier: Some(cluster_choice(&value.cluster)),
        cluster_not_found_response_code: match value.missing_cluster_status {
            Some(404) => ClusterNotFoundResponseCode::NotFound,
            Some(500) => ClusterNotFoundResponseCode::InternalServerError,
            _ => ClusterNotFoundResponseCode::ServiceUnavailable,
        }
        .into(),
        timeout: duration_or_zero(value.timeout),
        idle_timeout: value.idle_timeout.map(duration),
        retry_policy: value.retry.as_ref().map(policy::retry),
        host_rewrite_specifier: value
            .host
            .clone()
            .map(HostRewriteSpecifier::HostRewriteLiteral),
        append_x_forwarded_host: value.append_forwarded_host,
        request_mirror_policies: value.mirrors.iter().map(policy::mirror).collect(),
        hash_policy: value.hash.iter().map(policy::hash).collect(),
        ..Default::default()
    };
    write_max_grpc_timeout(&mut wire, value.max_grpc_timeout);
    match value.path.clone() {
        None => {}
        Some(PathRewrite::Prefix(prefix)) => wire.prefix_rewrite = prefix,
        Some(PathRewrite::Full(path)) => wire.path_rewrite = path,
        Some(PathRewrite::Regex(regex)) => wire.regex_rewrite = Some(policy::rewrite(&regex)),
    }
    wire
}

#[expect(
    deprecated,
    reason = "what Istio's control plane sends and every proxy reads"
)]
fn write_max_grpc_timeout(wire: &mut v3::RouteAction, value: Option<Duration>) {
    wire.max_grpc_timeout = value.map(duration);
}

#[expect(
    deprecated,
    reason = "what Istio's control plane sends and every proxy reads"
)]
fn read_forward(r: &mut Reader, mut wire: v3::RouteAction) -> Forward {
    let max_stream = wire.max_stream_duration.take().unwrap_or_default();
    if read_duration(r, "max_stream_duration", max_stream.max_stream_duration)
        .is_some_and(|max| !max.is_zero())
    {
        r.ignore("max_stream_duration", "is not supported");
    }
    let max_grpc_timeout = wire
        .max_grpc_timeout
        .take()
        .or(max_stream.grpc_timeout_header_max);
    let read = Forward {
        cluster: read_cluster_choice(r, wire.cluster_specifier.take()),
        timeout: read_duration_or_zero(r, "timeout", wire.timeout.take(), Some(TIMEOUT)),
        idle_timeout: read_duration(r, "idle_timeout", wire.idle_timeout.take()),
        max_grpc_timeout: read_duration(r, "max_grpc_timeout", max_grpc_timeout),
        retry: wire
            .retry_policy
            .take()
            .map(|wire| r.within("retry_policy", |r| policy::read_retry(r, wire))),
        path: read_path_rewrite(&mut wire),
        host: read_host_rewrite(r, wire.host_rewrite_specifier.take()),
        append_forwarded_host: take(&mut wire.append_x_forwarded_host),
        mirrors: r.each(
            "request_mirror_policies",
            take(&mut wire.request_mirror_policies),
            policy::read_mirror,
        ),
        hash: r
            .each(
                "hash_policy",
                take(&mut wire.hash_policy),
                policy::read_hash,
            )
            .into_iter()
            .flatten()
            .collect(),
        missing_cluster_status: match ClusterNotFoundResponseCode::try_from(take(
            &mut wire.cluster_not_found_response_code,
        )) {
            Ok(ClusterNotFoundResponseCode::NotFound) => Some(404),
            Ok(ClusterNotFoundResponseCode::InternalServerError) => Some(500),
            _ => None,
        },
    };
    r.finish(wire, UNREAD_FORWARD);
    read
}

/// What only tunes: buffers, priorities, timeouts of special cases.
const UNREAD_FORWARD: Unread = Unread::RefusedExcept(&[
    "early_data_policy",
    "flush_timeout",
    "grpc_timeout_offset",
    "hedge_policy",
    "include_vh_rate_limits",
    "priority",
]);

fn cluster_choice(value: &ClusterChoice) -> ClusterSpecifier {
    match value {
        ClusterChoice::Single(name) => ClusterSpecifier::Cluster(name.to_string()),
        ClusterChoice::Header(name) => ClusterSpecifier::ClusterHeader(name.clone()),
        ClusterChoice::Weighted(clusters) => {
            ClusterSpecifier::WeightedClusters(v3::WeightedCluster {
                clusters: clusters.iter().map(weighted_cluster).collect(),
                ..Default::default()
            })
        }
    }
}

fn read_cluster_choice(r: &mut Reader, wire: Option<ClusterSpecifier>) -> ClusterChoice {
    match wire {
        Some(ClusterSpecifier::Cluster(name)) => ClusterChoice::Single(name.into()),
        Some(ClusterSpecifier::ClusterHeader(name)) => ClusterChoice::Header(name),
        Some(ClusterSpecifier::WeightedClusters(mut wire)) => r.within("weighted_clusters", |r| {
            let clusters = take(&mut wire.clusters);
            r.finish(
                wire,
                Unread::RefusedExcept(&["total_weight", "runtime_key_prefix"]),
            );
            ClusterChoice::Weighted(r.each("clusters", clusters, read_weighted_cluster))
        }),
        _ => {
            r.refuse("cluster_specifier", "names no cluster");
            ClusterChoice::default()
        }
    }
}

fn weighted_cluster(value: &WeightedCluster) -> v3::weighted_cluster::ClusterWeight {
    let edits = policy::header_edits(&value.headers);
    v3::weighted_cluster::ClusterWeight {
        name: value.name.to_string(),
        weight: number(value.weight),
        request_headers_to_add: edits.request_add,
        request_headers_to_remove: edits.request_remove,
        response_headers_to_add: edits.response_add,
        response_headers_to_remove: edits.response_remove,
        ..Default::default()
    }
}

fn read_weighted_cluster(
    r: &mut Reader,
    mut wire: v3::weighted_cluster::ClusterWeight,
) -> WeightedCluster {
    let edits = WireEdits {
        request_add: take(&mut wire.request_headers_to_add),
        request_remove: take(&mut wire.request_headers_to_remove),
        response_add: take(&mut wire.response_headers_to_add),
        response_remove: take(&mut wire.response_headers_to_remove),
    };
    let read = WeightedCluster {
        name: take(&mut wire.name).into(),
        weight: wire.weight.take().map_or(1, |weight| weight.value),
        headers: policy::read_header_edits(r, edits),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

fn read_path_rewrite(wire: &mut v3::RouteAction) -> Option<PathRewrite> {
    let prefix = take(&mut wire.prefix_rewrite);
    let full = take(&mut wire.path_rewrite);
    if !prefix.is_empty() {
        Some(PathRewrite::Prefix(prefix))
    } else if !full.is_empty() {
        Some(PathRewrite::Full(full))
    } else {
        let regex = wire.regex_rewrite.take()?;
        Some(PathRewrite::Regex(policy::read_rewrite(regex)))
    }
}

fn read_host_rewrite(r: &mut Reader, wire: Option<HostRewriteSpecifier>) -> Option<String> {
    match wire? {
        HostRewriteSpecifier::HostRewriteLiteral(host) => Some(host),
        HostRewriteSpecifier::AutoHostRewrite(flag) if !flag.value => None,
        _ => {
            r.refuse("host_rewrite_specifier", "only a literal host is supported");
            None
        }
    }
}

fn redirect(value: &Redirect) -> v3::RedirectAction {
    let code = match value.status {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    v3::RedirectAction {
        host_redirect: value.host.clone().unwrap_or_default(),
        port_redirect: match value.port {
            Some(PortRedirect::To(port)) => port.into(),
            Some(PortRedirect::FromRequest) | None => 0,
        },
        response_code: code.into(),
        strip_query: value.strip_query,
        scheme_rewrite_specifier: match value.scheme.clone() {
            SchemeRedirect::Keep => None,
            SchemeRedirect::Https => Some(SchemeRewriteSpecifier::HttpsRedirect(true)),
            SchemeRedirect::To(scheme) => Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)),
        },
        path_rewrite_specifier: value.path.clone().map(|path| match path {
            PathRewrite::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix),
            PathRewrite::Full(path) => PathRewriteSpecifier::PathRedirect(path),
            PathRewrite::Regex(regex) => {
                PathRewriteSpecifier::RegexRewrite(policy::rewrite(&regex))
            }
        }),
    }
}

fn read_redirect(r: &mut Reader, mut wire: v3::RedirectAction) -> Redirect {
    let status = match RedirectResponseCode::try_from(take(&mut wire.response_code)) {
        Ok(RedirectResponseCode::MovedPermanently) | Err(_) => 301,
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
    };
    let read = Redirect {
        status,
        scheme: match wire.scheme_rewrite_specifier.take() {
            None | Some(SchemeRewriteSpecifier::HttpsRedirect(false)) => SchemeRedirect::Keep,
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => SchemeRedirect::Https,
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => SchemeRedirect::To(scheme),
        },
        host: Some(take(&mut wire.host_redirect)).filter(|host| !host.is_empty()),
        port: match take(&mut wire.port_redirect) {
            0 => None,
            port => Some(PortRedirect::To(read_port(r, "port_redirect", port))),
        },
        path: match wire.path_rewrite_specifier.take() {
            None => None,
            Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => Some(PathRewrite::Prefix(prefix)),
            Some(PathRewriteSpecifier::PathRedirect(path)) => Some(PathRewrite::Full(path)),
            Some(PathRewriteSpecifier::RegexRewrite(wire)) => {
                Some(PathRewrite::Regex(policy::read_rewrite(wire)))
            }
            Some(PathRewriteSpecifier::PathRewrite(_)) => {
                r.refuse("path_rewrite", "is not supported");
                None
            }
        },
        strip_query: take(&mut wire.strip_query),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

fn respond(value: &DirectResponse) -> v3::DirectResponseAction {
    let body = match String::from_utf8(value.body.to_vec()) {
        Ok(text) => Specifier::InlineString(text),
        Err(error) => Specifier::InlineBytes(error.into_bytes()),
    };
    v3::DirectResponseAction {
        status: value.status.into(),
        body: (!value.body.is_empty()).then(|| core::DataSource {
            specifier: Some(body),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn read_respond(r: &mut Reader, mut wire: v3::DirectResponseAction) -> DirectResponse {
    let status = take(&mut wire.status);
    let body = match wire.body.take().and_then(|body| body.specifier) {
        None => Vec::new(),
        Some(Specifier::InlineString(text)) => text.into_bytes(),
        Some(Specifier::InlineBytes(bytes)) => bytes,
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) => {
            r.refuse("body", "must be given in place");
            Vec::new()
        }
    };
    r.finish(wire, Unread::REFUSED);
    let status = u16::try_from(status).unwrap_or_else(|_| {
        r.refuse("status", format!("is not an HTTP status ({status})"));
        0
    });
    DirectResponse {
        status,
        body: body.into(),
    }
}

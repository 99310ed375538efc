//! Filters that ask somebody outside ⇄ `envoy.filters.http.ext_authz` and
//! `envoy.filters.network.ext_authz`.

use std::{mem::take, time::Duration};

use mesh_core::{
    dataplane::{AuthzBody, AuthzGate, AuthzService, ConnectionAuthz, ExtAuthzFilter},
    name::Pattern,
};

use super::{
    matcher::{pattern, read_pattern, read_pattern_and_case},
    reader::{Reader, Unread},
    scalar::{duration, read_duration},
};
use crate::proto::{core, http_ext_authz, matcher, network_ext_authz, types};

use matcher::{MetadataMatcher, ValueMatcher, metadata_matcher, value_matcher::MatchPattern};

pub(super) const HTTP_NAME: &str = "envoy.filters.http.ext_authz";
pub(super) const NETWORK_NAME: &str = "envoy.filters.network.ext_authz";

/// Who tells which requests, and which connections, somebody is asked about.
const HTTP_RBAC: &str = "envoy.filters.http.rbac";
const NETWORK_RBAC: &str = "envoy.filters.network.rbac";
/// What is told, behind the prefix of the rules' counters.
const EFFECTIVE_POLICY: &str = "shadow_effective_policy_id";
/// Envoy's wait for an answer.
const TIMEOUT: Duration = Duration::from_millis(200);

pub(super) fn http_filter(value: &ExtAuthzFilter) -> http_ext_authz::ExtAuthz {
    use http_ext_authz::ext_authz::Services;
    let services = match &value.service {
        AuthzService::Grpc { cluster, authority } => {
            Services::GrpcService(grpc(cluster, authority, value.timeout))
        }
        service => Services::HttpService(http(service, value.timeout)),
    };
    http_ext_authz::ExtAuthz {
        transport_api_version: core::ApiVersion::V3.into(),
        failure_mode_allow: value.fail_open,
        with_request_body: value
            .body_in_check
            .map(|body| http_ext_authz::BufferSettings {
                max_request_bytes: body.max_bytes,
                allow_partial_message: body.allow_partial,
                pack_as_bytes: body.as_bytes,
            }),
        clear_route_cache: value.clear_route_cache,
        status_on_error: value.status_on_error.map(|status| types::HttpStatus {
            code: status.into(),
        }),
        filter_enabled_metadata: value.gate.as_ref().map(|gate| self::gate(gate, HTTP_RBAC)),
        allowed_headers: names(&value.headers_in_check),
        services: Some(services),
        ..Default::default()
    }
}

pub(super) fn read_http_filter(
    r: &mut Reader,
    mut wire: http_ext_authz::ExtAuthz,
) -> Option<ExtAuthzFilter> {
    use http_ext_authz::ext_authz::Services;
    read_version(r, take(&mut wire.transport_api_version));
    let gate = wire.filter_enabled_metadata.take();
    let gate =
        gate.map(|wire| r.within("filter_enabled_metadata", |r| read_gate(r, wire, HTTP_RBAC)));
    let body = wire.with_request_body.take().map(|wire| AuthzBody {
        max_bytes: wire.max_request_bytes,
        allow_partial: wire.allow_partial_message,
        as_bytes: wire.pack_as_bytes,
    });
    let status = wire.status_on_error.take();
    let status_on_error = status.and_then(|wire| {
        let status = u16::try_from(wire.code).ok();
        let status = status.filter(|status| (100..600).contains(status));
        if status.is_none() {
            r.refuse(
                "status_on_error.code",
                format!("{} is no status", wire.code),
            );
        }
        status
    });
    let headers_in_check = read_names(r, "allowed_headers", wire.allowed_headers.take());
    let (service, timeout) = match wire.services.take() {
        Some(Services::GrpcService(wire)) => {
            let read = r.within("grpc_service", |r| read_grpc(r, wire))?;
            let (cluster, authority, timeout) = read;
            (AuthzService::Grpc { cluster, authority }, timeout)
        }
        Some(Services::HttpService(wire)) => r.within("http_service", |r| read_http(r, wire))?,
        None => {
            r.refuse("services", "is missing");
            return None;
        }
    };
    let read = ExtAuthzFilter {
        gate,
        service,
        timeout,
        fail_open: take(&mut wire.failure_mode_allow),
        status_on_error,
        clear_route_cache: take(&mut wire.clear_route_cache),
        headers_in_check,
        body_in_check: body,
    };
    r.finish(
        wire,
        Unread::RefusedExcept(&["stat_prefix", "charge_cluster_response_stats"]),
    );
    Some(read)
}

pub(super) fn network_filter(value: &ConnectionAuthz) -> network_ext_authz::ExtAuthz {
    network_ext_authz::ExtAuthz {
        stat_prefix: value.stat_prefix.clone(),
        grpc_service: Some(grpc(&value.cluster, &value.authority, value.timeout)),
        failure_mode_allow: value.fail_open,
        transport_api_version: core::ApiVersion::V3.into(),
        filter_enabled_metadata: value
            .gate
            .as_ref()
            .map(|gate| self::gate(gate, NETWORK_RBAC)),
        ..Default::default()
    }
}

pub(super) fn read_network_filter(
    r: &mut Reader,
    mut wire: network_ext_authz::ExtAuthz,
) -> Option<ConnectionAuthz> {
    read_version(r, take(&mut wire.transport_api_version));
    let gate = wire.filter_enabled_metadata.take();
    let gate = gate.map(|wire| {
        r.within("filter_enabled_metadata", |r| {
            read_gate(r, wire, NETWORK_RBAC)
        })
    });
    let Some(service) = wire.grpc_service.take() else {
        r.refuse("grpc_service", "is missing");
        return None;
    };
    let (cluster, authority, timeout) = r.within("grpc_service", |r| read_grpc(r, service))?;
    let read = ConnectionAuthz {
        gate,
        stat_prefix: take(&mut wire.stat_prefix),
        cluster,
        authority,
        timeout,
        fail_open: take(&mut wire.failure_mode_allow),
    };
    r.finish(wire, Unread::REFUSED);
    Some(read)
}

fn read_version(r: &mut Reader, wire: i32) {
    // Left out, it is that of the API the filter itself came by.
    let known = [core::ApiVersion::Auto.into(), core::ApiVersion::V3.into()];
    if !known.contains(&wire) {
        r.refuse("transport_api_version", format!("{wire} is not supported"));
    }
}

fn effective_policy() -> String {
    format!("{}{EFFECTIVE_POLICY}", AuthzGate::STAT_PREFIX)
}

fn gate(value: &AuthzGate, filter: &str) -> MetadataMatcher {
    let prefix = Pattern::Prefix(value.policy_prefix.clone());
    MetadataMatcher {
        filter: filter.into(),
        path: vec![metadata_matcher::PathSegment {
            segment: Some(metadata_matcher::path_segment::Segment::Key(
                effective_policy(),
            )),
        }],
        value: Some(ValueMatcher {
            match_pattern: Some(MatchPattern::StringMatch(pattern(&prefix, false))),
        }),
        invert: false,
    }
}

fn read_gate(r: &mut Reader, mut wire: MetadataMatcher, filter: &str) -> AuthzGate {
    let path = take(&mut wire.path).into_iter();
    let keys = path.filter_map(|segment| match segment.segment? {
        metadata_matcher::path_segment::Segment::Key(key) => Some(key),
    });
    if take(&mut wire.filter) != filter || !keys.eq([effective_policy()]) {
        r.refuse(
            "path",
            format!("only {filter} and {} are supported", effective_policy()),
        );
    }
    let value = wire.value.take().and_then(|value| value.match_pattern);
    let policy_prefix = match value {
        Some(MatchPattern::StringMatch(wire)) => match read_pattern(r, wire) {
            Pattern::Prefix(prefix) => Some(prefix),
            _ => None,
        },
        _ => None,
    };
    if policy_prefix.is_none() {
        r.refuse("value", "only the beginning of a text is supported");
    }
    r.finish(wire, Unread::REFUSED);
    AuthzGate {
        policy_prefix: policy_prefix.unwrap_or_default(),
    }
}

fn grpc(cluster: &str, authority: &str, timeout: Duration) -> core::GrpcService {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    core::GrpcService {
        timeout: Some(duration(timeout)),
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: cluster.into(),
            authority: authority.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

type Grpc = (mesh_core::dataplane::Name, String, Duration);

fn read_grpc(r: &mut Reader, mut wire: core::GrpcService) -> Option<Grpc> {
    use core::grpc_service::TargetSpecifier;
    let timeout = read_duration(r, "timeout", wire.timeout.take()).unwrap_or(TIMEOUT);
    let Some(TargetSpecifier::EnvoyGrpc(mut target)) = wire.target_specifier.take() else {
        r.refuse("envoy_grpc", "is missing, and nothing else is supported");
        return None;
    };
    let read = (
        take(&mut target.cluster_name).into(),
        take(&mut target.authority),
        timeout,
    );
    r.finish(target, Unread::IGNORED);
    r.finish(wire, Unread::RefusedExcept(&["retry_policy"]));
    Some(read)
}

fn http(value: &AuthzService, timeout: Duration) -> http_ext_authz::HttpService {
    let AuthzService::Http {
        cluster,
        host,
        path_prefix,
        added_headers,
        to_upstream_on_allow,
        to_downstream_on_allow,
        to_downstream_on_deny,
    } = value
    else {
        return http_ext_authz::HttpService::default();
    };
    let added = added_headers.iter().map(|(key, value)| core::HeaderValue {
        key: key.clone(),
        value: value.clone(),
        ..Default::default()
    });
    let request = http_ext_authz::AuthorizationRequest {
        headers_to_add: added.collect(),
        ..Default::default()
    };
    let response = http_ext_authz::AuthorizationResponse {
        allowed_upstream_headers: names(to_upstream_on_allow),
        allowed_client_headers: names(to_downstream_on_deny),
        allowed_client_headers_on_success: names(to_downstream_on_allow),
        ..Default::default()
    };
    http_ext_authz::HttpService {
        server_uri: Some(core::HttpUri {
            uri: format!("http://{host}"),
            timeout: Some(duration(timeout)),
            http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(
                cluster.to_string(),
            )),
        }),
        path_prefix: path_prefix.clone(),
        authorization_request: (request != Default::default()).then_some(request),
        authorization_response: (response != Default::default()).then_some(response),
        ..Default::default()
    }
}

fn read_http(
    r: &mut Reader,
    mut wire: http_ext_authz::HttpService,
) -> Option<(AuthzService, Duration)> {
    let Some(uri) = wire.server_uri.take() else {
        r.refuse("server_uri", "is missing");
        return None;
    };
    let cluster = match uri.http_upstream_type {
        Some(core::http_uri::HttpUpstreamType::Cluster(cluster)) => cluster.into(),
        None => {
            r.refuse("server_uri.cluster", "is missing");
            return None;
        }
    };
    let timeout = read_duration(r, "server_uri.timeout", uri.timeout).unwrap_or(TIMEOUT);
    let host = uri.uri.strip_prefix("http://").unwrap_or(&uri.uri);
    let mut request = wire.authorization_request.take().unwrap_or_default();
    let added = take(&mut request.headers_to_add).into_iter();
    let added_headers = added.map(|header| (header.key, header.value)).collect();
    r.within("authorization_request", |r| {
        r.finish(request, Unread::REFUSED)
    });
    let mut response = wire.authorization_response.take().unwrap_or_default();
    let upstream = response.allowed_upstream_headers.take();
    let on_allow = response.allowed_client_headers_on_success.take();
    let on_deny = response.allowed_client_headers.take();
    r.within("authorization_response", |r| {
        r.finish(response, Unread::REFUSED)
    });
    let service = AuthzService::Http {
        cluster,
        host: host.to_owned(),
        path_prefix: take(&mut wire.path_prefix),
        added_headers,
        to_upstream_on_allow: read_names(r, "allowed_upstream_headers", upstream),
        to_downstream_on_allow: read_names(r, "allowed_client_headers_on_success", on_allow),
        to_downstream_on_deny: read_names(r, "allowed_client_headers", on_deny),
    };
    r.finish(wire, Unread::RefusedExcept(&["retry_policy"]));
    Some((service, timeout))
}

/// Names of headers, which have no case.
fn names(patterns: &[Pattern]) -> Option<matcher::ListStringMatcher> {
    let each = patterns.iter().map(|name| pattern(name, true));
    (!patterns.is_empty()).then(|| matcher::ListStringMatcher {
        patterns: each.collect(),
    })
}

fn read_names(
    r: &mut Reader,
    field: &str,
    wire: Option<matcher::ListStringMatcher>,
) -> Vec<Pattern> {
    let wire = wire.unwrap_or_default().patterns;
    r.each(field, wire, |r, wire| read_pattern_and_case(r, wire).0)
}

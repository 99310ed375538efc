//! `RouteTable` ⇄ `envoy.config.route.v3.RouteConfiguration`: tables, hosts, rules and conditions.
//! What becomes of a request is in `action`.

mod action;

use std::{collections::HashMap, mem::take};

use mesh_core::dataplane::{
    CorsPolicy, Fault, Fraction, PathMatch, PortRedirect, QueryMatch, Route, RouteAction,
    RouteClaim, RouteMatch, RouteTable, ValueMatch, VirtualHost,
};

use super::{
    any::{full_name, holds, pack, unpack},
    claim::{claim, read_claim},
    matcher::{header_match, pattern, read_header_match, read_pattern_and_case, regex},
    metadata::{MESH, MetadataReader, MetadataWriter, text},
    policy::{self, WireEdits},
    reader::{Reader, Unread},
    scalar::{boolean, read_runtime_fraction, runtime_fraction},
};
use crate::proto::{http_cors, http_fault, matcher, route as v3, wkt};

use v3::{
    query_parameter_matcher::QueryParameterMatchSpecifier,
    route_match::{ConnectMatcher, GrpcRouteMatchOptions, PathSpecifier},
};

const FAULT: &str = "envoy.filters.http.fault";
const CORS: &str = "envoy.filters.http.cors";
/// In a rule's metadata, since Envoy cannot say it: redirect to the port the request came to.
const REDIRECT_PORT: &str = "redirect_port";

pub(super) fn encode(value: &RouteTable) -> v3::RouteConfiguration {
    let edits = policy::header_edits(&value.headers);
    v3::RouteConfiguration {
        name: value.name.to_string(),
        virtual_hosts: value.virtual_hosts.iter().map(host).collect(),
        ignore_port_in_host_matching: value.ignore_port_in_host_matching,
        validate_clusters: boolean(false),
        request_headers_to_add: edits.request_add,
        request_headers_to_remove: edits.request_remove,
        response_headers_to_add: edits.response_add,
        response_headers_to_remove: edits.response_remove,
        ..Default::default()
    }
}

pub(super) fn decode(r: &mut Reader, mut wire: v3::RouteConfiguration) -> RouteTable {
    let edits = WireEdits {
        request_add: take(&mut wire.request_headers_to_add),
        request_remove: take(&mut wire.request_headers_to_remove),
        response_add: take(&mut wire.response_headers_to_add),
        response_remove: take(&mut wire.response_headers_to_remove),
    };
    let read = RouteTable {
        name: take(&mut wire.name).into(),
        virtual_hosts: r.each("virtual_hosts", take(&mut wire.virtual_hosts), read_host),
        ignore_port_in_host_matching: take(&mut wire.ignore_port_in_host_matching),
        headers: policy::read_header_edits(r, edits),
    };
    if wire.validate_clusters == boolean(false) {
        wire.validate_clusters = None;
    }
    r.finish(
        wire,
        Unread::RefusedExcept(&[
            "max_direct_response_body_size_bytes",
            "metadata",
            "validate_clusters",
        ]),
    );
    read
}

fn host(value: &VirtualHost) -> v3::VirtualHost {
    let edits = policy::header_edits(&value.headers);
    v3::VirtualHost {
        name: value.name.to_string(),
        domains: value.domains.clone(),
        routes: value.routes.iter().map(rule).collect(),
        include_request_attempt_count: value.include_attempt_count,
        request_headers_to_add: edits.request_add,
        request_headers_to_remove: edits.request_remove,
        response_headers_to_add: edits.response_add,
        response_headers_to_remove: edits.response_remove,
        ..Default::default()
    }
}

fn read_host(r: &mut Reader, mut wire: v3::VirtualHost) -> VirtualHost {
    let edits = WireEdits {
        request_add: take(&mut wire.request_headers_to_add),
        request_remove: take(&mut wire.request_headers_to_remove),
        response_add: take(&mut wire.response_headers_to_add),
        response_remove: take(&mut wire.response_headers_to_remove),
    };
    let read = VirtualHost {
        name: take(&mut wire.name).into(),
        domains: take(&mut wire.domains),
        routes: r.each("routes", take(&mut wire.routes), read_rule),
        headers: policy::read_header_edits(r, edits),
        include_attempt_count: take(&mut wire.include_request_attempt_count),
    };
    r.finish(wire, UNREAD_HOST);
    read
}

/// What only counts, buffers or adds information.
const UNREAD_HOST: Unread = Unread::RefusedExcept(&[
    "hedge_policy",
    "include_attempt_count_in_response",
    "include_is_timeout_retry_header",
    "metadata",
    "per_request_buffer_limit_bytes",
    "request_body_buffer_limit",
    "virtual_clusters",
]);

fn rule(value: &Route) -> v3::Route {
    let edits = policy::header_edits(&value.headers);
    let mut metadata = MetadataWriter::default();
    metadata.put_origin(value.origin.as_ref());
    if let RouteAction::Redirect(redirect) = &value.action
        && redirect.port == Some(PortRedirect::FromRequest)
    {
        metadata.put(MESH, REDIRECT_PORT, text("request"));
    }
    let mut filters = HashMap::new();
    if let Some(fault) = &value.fault {
        filters.insert(FAULT.to_owned(), pack(&policy::fault(fault)));
    }
    if let Some(cors) = &value.cors {
        filters.insert(CORS.to_owned(), pack(&policy::cors(cors)));
    }
    v3::Route {
        name: value.name.to_string(),
        r#match: Some(condition(&value.matches)),
        metadata: metadata.finish(),
        decorator: value.operation.as_ref().map(|operation| v3::Decorator {
            operation: operation.to_string(),
            ..Default::default()
        }),
        typed_per_filter_config: filters,
        request_headers_to_add: edits.request_add,
        request_headers_to_remove: edits.request_remove,
        response_headers_to_add: edits.response_add,
        response_headers_to_remove: edits.response_remove,
        action: Some(action::encode(&value.action)),
        ..Default::default()
    }
}

fn read_rule(r: &mut Reader, mut wire: v3::Route) -> Route {
    let mut metadata = MetadataReader::new(wire.metadata.take());
    let origin = metadata.take_origin();
    let port_from_request = metadata.take_text(MESH, REDIRECT_PORT).is_some();
    metadata.finish(r);
    let edits = WireEdits {
        request_add: take(&mut wire.request_headers_to_add),
        request_remove: take(&mut wire.request_headers_to_remove),
        response_add: take(&mut wire.response_headers_to_add),
        response_remove: take(&mut wire.response_headers_to_remove),
    };
    let filters = take(&mut wire.typed_per_filter_config);
    let (fault, cors) = r.within("typed_per_filter_config", |r| read_filters(r, filters));
    let matches = wire.r#match.take().unwrap_or_default();
    let mut action = action::decode(r, wire.action.take());
    if let RouteAction::Redirect(redirect) = &mut action
        && port_from_request
    {
        redirect.port = Some(PortRedirect::FromRequest);
    }
    let read = Route {
        name: take(&mut wire.name).into(),
        matches: r.within("match", |r| read_condition(r, matches)),
        action,
        headers: policy::read_header_edits(r, edits),
        fault,
        cors,
        operation: wire
            .decorator
            .take()
            .map(|decorator| decorator.operation.into()),
        origin,
    };
    // What is left only counts, traces and buffers.
    r.finish(wire, Unread::IgnoredExcept(&["route_specifiers"]));
    read
}

fn read_filters(
    r: &mut Reader,
    wire: HashMap<String, wkt::Any>,
) -> (Option<Fault>, Option<CorsPolicy>) {
    let (mut fault, mut cors) = (None, None);
    for (name, any) in wire {
        r.within(name.clone(), |r| {
            if holds::<http_fault::HttpFault>(&any) {
                fault = unpack(r, &any).map(|wire| policy::read_fault(r, wire));
            } else if holds::<http_cors::CorsPolicy>(&any) {
                cors = unpack(r, &any).map(|wire| policy::read_cors(r, wire));
            } else if name.starts_with("istio.") {
                r.ignore("", "is not supported");
            } else {
                r.refuse("", format!("{} is not supported", full_name(&any.type_url)));
            }
        });
    }
    (fault, cors)
}

fn condition(value: &RouteMatch) -> v3::RouteMatch {
    let path = match value.path.clone() {
        PathMatch::Exact(path) => PathSpecifier::Path(path),
        PathMatch::Prefix(prefix) => PathSpecifier::Prefix(prefix),
        PathMatch::PathSeparatedPrefix(prefix) => PathSpecifier::PathSeparatedPrefix(prefix),
        PathMatch::Regex(pattern) => PathSpecifier::SafeRegex(regex(pattern)),
        PathMatch::Connect => PathSpecifier::ConnectMatcher(ConnectMatcher::default()),
    };
    v3::RouteMatch {
        path_specifier: Some(path),
        case_sensitive: if value.ignore_case {
            boolean(false)
        } else {
            None
        },
        headers: value.headers.iter().map(header_match).collect(),
        query_parameters: value.query.iter().map(query_match).collect(),
        dynamic_metadata: value.claims.iter().map(route_claim).collect(),
        runtime_fraction: value.fraction.map(runtime_fraction),
        grpc: value.grpc.then(GrpcRouteMatchOptions::default),
        ..Default::default()
    }
}

fn read_condition(r: &mut Reader, mut wire: v3::RouteMatch) -> RouteMatch {
    let path = match wire.path_specifier.take() {
        Some(PathSpecifier::Path(path)) => PathMatch::Exact(path),
        Some(PathSpecifier::Prefix(prefix)) => PathMatch::Prefix(prefix),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => PathMatch::PathSeparatedPrefix(prefix),
        Some(PathSpecifier::SafeRegex(wire)) => PathMatch::Regex(wire.regex),
        Some(PathSpecifier::ConnectMatcher(_)) => PathMatch::Connect,
        Some(PathSpecifier::PathMatchPolicy(policy)) => {
            r.refuse(
                "path_match_policy",
                format!("{} is not supported", policy.name),
            );
            PathMatch::default()
        }
        None => {
            r.refuse("path_specifier", "is missing");
            PathMatch::default()
        }
    };
    let read = RouteMatch {
        path,
        ignore_case: wire.case_sensitive.take().is_some_and(|flag| !flag.value),
        headers: r.each("headers", take(&mut wire.headers), read_header_match),
        query: r.each(
            "query_parameters",
            take(&mut wire.query_parameters),
            read_query_match,
        ),
        claims: r.each(
            "dynamic_metadata",
            take(&mut wire.dynamic_metadata),
            read_route_claim,
        ),
        fraction: wire
            .runtime_fraction
            .take()
            .map(|share| read_runtime_fraction(r, "runtime_fraction", share, Fraction::ALL)),
        grpc: wire.grpc.take().is_some(),
    };
    r.finish(wire, Unread::REFUSED);
    read
}

fn route_claim(value: &RouteClaim) -> matcher::MetadataMatcher {
    matcher::MetadataMatcher {
        invert: value.invert,
        ..claim(&value.claim)
    }
}

fn read_route_claim(r: &mut Reader, mut wire: matcher::MetadataMatcher) -> RouteClaim {
    let invert = take(&mut wire.invert);
    RouteClaim {
        claim: read_claim(r, wire),
        invert,
    }
}

fn query_match(value: &QueryMatch) -> v3::QueryParameterMatcher {
    let specifier = match &value.value {
        ValueMatch::Text {
            pattern: text,
            ignore_case,
        } => QueryParameterMatchSpecifier::StringMatch(pattern(text, *ignore_case)),
        // Envoy has no ranges for parameters and neither has anything that is written.
        ValueMatch::Present | ValueMatch::Range { .. } => {
            QueryParameterMatchSpecifier::PresentMatch(true)
        }
    };
    v3::QueryParameterMatcher {
        name: value.name.clone(),
        query_parameter_match_specifier: Some(specifier),
    }
}

fn read_query_match(r: &mut Reader, wire: v3::QueryParameterMatcher) -> QueryMatch {
    let value = match wire.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(wire)) => {
            let (pattern, ignore_case) =
                r.within("string_match", |r| read_pattern_and_case(r, wire));
            ValueMatch::Text {
                pattern,
                ignore_case,
            }
        }
        Some(QueryParameterMatchSpecifier::PresentMatch(true)) | None => ValueMatch::Present,
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => {
            r.refuse("present_match", "asking for absence is not supported");
            ValueMatch::Present
        }
    };
    QueryMatch {
        name: wire.name,
        value,
    }
}

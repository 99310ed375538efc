//! Filters that ask somebody, for the round trip, and what of them is refused.

use mesh_core::dataplane::{AuthzBody, AuthzGate, AuthzService, ConnectionAuthz, ExtAuthzFilter};
use proptest::{
    collection::{btree_map, vec},
    option::of,
    prelude::*,
};

use super::arbitrary::{duration, name, pattern, word};
use crate::{
    codec::{ext_authz, reader::Reader},
    proto::http_ext_authz,
};

fn gate() -> impl Strategy<Value = AuthzGate> {
    word().prop_map(|name| AuthzGate::of_provider(&name))
}

fn service() -> impl Strategy<Value = AuthzService> {
    let names = || vec(pattern(), 0..3);
    let http = (
        (name(), word(), word(), btree_map(word(), word(), 0..2)),
        (names(), names(), names()),
    );
    prop_oneof![
        (name(), word()).prop_map(|(cluster, authority)| AuthzService::Grpc { cluster, authority }),
        http.prop_map(
            |((cluster, host, path_prefix, added_headers), (upstream, allow, deny))| {
                AuthzService::Http {
                    cluster,
                    host,
                    path_prefix,
                    added_headers,
                    to_upstream_on_allow: upstream,
                    to_downstream_on_allow: allow,
                    to_downstream_on_deny: deny,
                }
            }
        ),
    ]
}

pub(super) fn on_requests() -> impl Strategy<Value = ExtAuthzFilter> {
    let body = (any::<u32>(), any::<bool>(), any::<bool>()).prop_map(
        |(max_bytes, allow_partial, as_bytes)| AuthzBody {
            max_bytes,
            allow_partial,
            as_bytes,
        },
    );
    (
        (of(gate()), service(), duration(), any::<bool>()),
        (
            of(100u16..600),
            any::<bool>(),
            vec(pattern(), 0..3),
            of(body),
        ),
    )
        .prop_map(
            |(
                (gate, service, timeout, fail_open),
                (status_on_error, clear_route_cache, headers_in_check, body_in_check),
            )| ExtAuthzFilter {
                gate,
                service,
                timeout,
                fail_open,
                status_on_error,
                clear_route_cache,
                headers_in_check,
                body_in_check,
            },
        )
}

pub(super) fn on_connections() -> impl Strategy<Value = ConnectionAuthz> {
    (
        of(gate()),
        word(),
        name(),
        word(),
        duration(),
        any::<bool>(),
    )
        .prop_map(
            |(gate, stat_prefix, cluster, authority, timeout, fail_open)| ConnectionAuthz {
                gate,
                stat_prefix,
                cluster,
                authority,
                timeout,
                fail_open,
            },
        )
}

/// Istio's gate as Envoy reads it, and what else it could be: asked less often than was meant.
#[test]
fn only_istios_gate_is_read() {
    let planned = ExtAuthzFilter {
        gate: Some(AuthzGate::of_provider("opa")),
        service: AuthzService::Grpc {
            cluster: "outbound|9000||authz.default.svc.cluster.local".into(),
            authority: "outbound_.9000_._.authz.default.svc.cluster.local".into(),
        },
        timeout: std::time::Duration::from_secs(600),
        fail_open: false,
        status_on_error: None,
        clear_route_cache: false,
        headers_in_check: Vec::new(),
        body_in_check: None,
    };
    let wire = ext_authz::http_filter(&planned);
    let text = format!("{:?}", wire.filter_enabled_metadata);
    for part in [
        "envoy.filters.http.rbac",
        "istio_ext_authz_shadow_effective_policy_id",
        "Prefix(\"istio-ext-authz-opa-\")",
    ] {
        assert!(text.contains(part), "{text}");
    }
    type Change = fn(&mut http_ext_authz::ExtAuthz);
    let changes: [(Change, &str); 4] = [
        (
            |wire| {
                wire.filter_enabled_metadata
                    .as_mut()
                    .unwrap()
                    .filter
                    .push('2')
            },
            "filter_enabled_metadata.path",
        ),
        (
            |wire| wire.filter_enabled_metadata.as_mut().unwrap().value = None,
            "filter_enabled_metadata.value",
        ),
        (
            |wire| wire.filter_enabled_metadata.as_mut().unwrap().invert = true,
            "filter_enabled_metadata.invert",
        ),
        (|wire| wire.services = None, "services"),
    ];
    for (change, path) in changes {
        let mut wire = wire.clone();
        change(&mut wire);
        let mut r = Reader::default();
        ext_authz::read_http_filter(&mut r, wire);
        let problems = r.into_problems();
        let refused = problems.iter().filter(|problem| problem.is_refusal());
        let paths: Vec<_> = refused.map(|problem| &*problem.path).collect();
        assert_eq!(paths, [path]);
    }
}

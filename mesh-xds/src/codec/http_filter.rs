//! HTTP filters ⇄ Envoy's extensions.

use mesh_core::dataplane::HttpFilter;

use super::{
    access,
    any::{full_name, holds, pack, unpack},
    ext_authz, limit,
    reader::{Reader, Unread},
    stats, token,
};
use crate::proto::{
    hcm, http_cors, http_ext_authz, http_fault, http_grpc_stats, http_rbac, http_router, jwt_authn,
    wkt,
};

const PEER_METADATA: (&str, &str) = (
    "istio.metadata_exchange",
    "io.istio.http.peer_metadata.Config",
);
const ISTIO_STATS: (&str, &str) = ("istio.stats", "stats.PluginConfig");
const ISTIO_ALPN: (&str, &str) = (
    "istio.alpn",
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
);

pub(super) fn http_filter(value: &HttpFilter) -> hcm::HttpFilter {
    match value {
        HttpFilter::PeerMetadata => optional(PEER_METADATA),
        HttpFilter::IstioStats => optional(ISTIO_STATS),
        HttpFilter::ChangedStats(settings) => hcm::HttpFilter {
            is_optional: true,
            ..required(ISTIO_STATS.0, pack(&stats::plugin(settings)))
        },
        HttpFilter::RateLimit(limits) => required(limit::NAME, limit::encode(limits)),
        HttpFilter::IstioAlpn => optional(ISTIO_ALPN),
        HttpFilter::JwtAuthn(tokens) => required(
            "envoy.filters.http.jwt_authn",
            pack(&token::http_filter(tokens)),
        ),
        HttpFilter::Rbac(rbac) => {
            required("envoy.filters.http.rbac", pack(&access::http_filter(rbac)))
        }
        HttpFilter::ExtAuthz(asks) => {
            required(ext_authz::HTTP_NAME, pack(&ext_authz::http_filter(asks)))
        }
        HttpFilter::Fault => required(
            "envoy.filters.http.fault",
            pack(&http_fault::HttpFault::default()),
        ),
        HttpFilter::Cors => required("envoy.filters.http.cors", pack(&http_cors::Cors::default())),
        HttpFilter::GrpcStats => required(
            "envoy.filters.http.grpc_stats",
            pack(&http_grpc_stats::FilterConfig {
                emit_filter_state: true,
                per_method_stat_specifier: Some(
                    http_grpc_stats::filter_config::PerMethodStatSpecifier::StatsForAllMethods(
                        wkt::BoolValue { value: false },
                    ),
                ),
                ..Default::default()
            }),
        ),
        other => unreachable_filter(other),
    }
}

/// The filter enums are open to grow; the codec grows in the same change, and its round-trip test
/// walks every variant.
pub(super) fn unreachable_filter(filter: &dyn std::fmt::Debug) -> ! {
    unreachable!("the codec knows every filter, {filter:?} included")
}

pub(super) fn required(name: &str, config: wkt::Any) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.into(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn optional((name, type_name): (&str, &str)) -> hcm::HttpFilter {
    let config = wkt::Any {
        type_url: format!("type.googleapis.com/{type_name}"),
        value: Vec::new(),
    };
    hcm::HttpFilter {
        is_optional: true,
        ..required(name, config)
    }
}

/// Every filter but the router, which must be there and come last.
pub(super) fn read_http_filters(r: &mut Reader, mut wire: Vec<hcm::HttpFilter>) -> Vec<HttpFilter> {
    let router = wire.pop().and_then(|filter| match filter.config_type {
        Some(hcm::http_filter::ConfigType::TypedConfig(any)) => {
            holds::<http_router::Router>(&any).then_some(any)
        }
        _ => None,
    });
    match router {
        Some(any) => r.within("http_filters.router", |r| {
            if let Some(router) = unpack::<http_router::Router>(r, &any) {
                r.finish(router, Unread::IgnoredExcept(&["upstream_http_filters"]));
            }
        }),
        None => r.refuse("http_filters", "must end in the router"),
    }
    r.each("http_filters", wire, read_http_filter)
        .into_iter()
        .flatten()
        .collect()
}

fn read_http_filter(r: &mut Reader, wire: hcm::HttpFilter) -> Option<HttpFilter> {
    if wire.disabled {
        r.refuse("disabled", "filters that routes turn on are not supported");
        return None;
    }
    let any = match wire.config_type {
        Some(hcm::http_filter::ConfigType::TypedConfig(any)) => any,
        Some(hcm::http_filter::ConfigType::ConfigDiscovery(_)) => {
            r.refuse("config_discovery", "is not supported");
            return None;
        }
        None => wkt::Any::default(),
    };
    if full_name(&any.type_url) == ISTIO_STATS.1 && !any.value.is_empty() {
        return r.within("typed_config", |r| stats::read(r, &any));
    }
    let istio = [
        (PEER_METADATA, HttpFilter::PeerMetadata),
        (ISTIO_STATS, HttpFilter::IstioStats),
        (ISTIO_ALPN, HttpFilter::IstioAlpn),
    ];
    for ((name, type_name), filter) in istio {
        if wire.name == name || full_name(&any.type_url) == type_name {
            if !any.value.is_empty() {
                r.ignore("typed_config", "settings of this filter are not used");
            }
            return Some(filter);
        }
    }
    r.within("typed_config", |r| {
        read_http_config(r, &wire.name, wire.is_optional, &any)
    })
}

fn read_http_config(
    r: &mut Reader,
    name: &str,
    is_optional: bool,
    any: &wkt::Any,
) -> Option<HttpFilter> {
    if holds::<http_rbac::Rbac>(any) {
        let wire = unpack(r, any)?;
        return Some(HttpFilter::Rbac(access::read_http_filter(r, wire)));
    }
    if holds::<http_ext_authz::ExtAuthz>(any) {
        let wire = unpack(r, any)?;
        let read = ext_authz::read_http_filter(r, wire)?;
        return Some(HttpFilter::ExtAuthz(Box::new(read)));
    }
    if holds::<jwt_authn::JwtAuthentication>(any) {
        let wire = unpack(r, any)?;
        return Some(HttpFilter::JwtAuthn(token::read_http_filter(r, wire)));
    }
    if holds::<http_fault::HttpFault>(any) {
        let wire: http_fault::HttpFault = unpack(r, any)?;
        r.finish(wire, Unread::REFUSED);
        return Some(HttpFilter::Fault);
    }
    if holds::<http_cors::Cors>(any) {
        return Some(HttpFilter::Cors);
    }
    if full_name(&any.type_url) == limit::TYPE_NAME {
        return limit::decode(r, any).map(HttpFilter::RateLimit);
    }
    if holds::<http_grpc_stats::FilterConfig>(any) {
        return Some(HttpFilter::GrpcStats);
    }
    let what = if any.type_url.is_empty() {
        name
    } else {
        full_name(&any.type_url)
    };
    if is_optional {
        r.ignore("", format!("{what} is not supported"));
    } else {
        r.refuse("", format!("{what} is not supported"));
    }
    None
}

//! Policies of routes ⇄ Envoy's.

use std::{mem::take, time::Duration};

use mesh_core::dataplane::{
    Backoff, CorsPolicy, Fault, FaultAbort, FaultDelay, Fraction, HashPolicy, HeaderEdits,
    HeaderValue, Mirror, RegexRewrite, RetryPolicy,
};

use super::{
    any::{holds, pack, unpack},
    matcher::{pattern, read_pattern, regex},
    reader::{Reader, Unread},
    scalar::{
        boolean, duration, fraction, number, read_duration, read_duration_or_zero, read_fraction,
        read_runtime_fraction, runtime_fraction,
    },
};
use crate::proto::{
    core, fault_common, http_cors, http_fault, matcher, previous_hosts, previous_priorities, route,
    types,
};

use core::header_value_option::HeaderAppendAction;
use route::route_action::hash_policy;

const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";
const PREVIOUS_PRIORITIES: &str = "envoy.retry_priorities.previous_priorities";

/// Header edits as the four fields that routes, hosts, tables and weighted clusters share.
#[derive(Debug, Default)]
pub(super) struct WireEdits {
    pub(super) request_add: Vec<core::HeaderValueOption>,
    pub(super) request_remove: Vec<String>,
    pub(super) response_add: Vec<core::HeaderValueOption>,
    pub(super) response_remove: Vec<String>,
}

pub(super) fn header_edits(value: &HeaderEdits) -> WireEdits {
    let both = |set: &[HeaderValue], add: &[HeaderValue]| {
        let option = |action: HeaderAppendAction| {
            move |header: &HeaderValue| core::HeaderValueOption {
                header: Some(core::HeaderValue {
                    key: header.name.clone(),
                    value: header.value.clone(),
                    ..Default::default()
                }),
                append_action: action.into(),
                ..Default::default()
            }
        };
        set.iter()
            .map(option(HeaderAppendAction::OverwriteIfExistsOrAdd))
            .chain(
                add.iter()
                    .map(option(HeaderAppendAction::AppendIfExistsOrAdd)),
            )
            .collect()
    };
    WireEdits {
        request_add: both(&value.request_set, &value.request_add),
        request_remove: value.request_remove.clone(),
        response_add: both(&value.response_set, &value.response_add),
        response_remove: value.response_remove.clone(),
    }
}

pub(super) fn read_header_edits(r: &mut Reader, wire: WireEdits) -> HeaderEdits {
    let (request_set, request_add) = read_additions(r, "request_headers_to_add", wire.request_add);
    let (response_set, response_add) =
        read_additions(r, "response_headers_to_add", wire.response_add);
    HeaderEdits {
        request_set,
        request_add,
        request_remove: wire.request_remove,
        response_set,
        response_add,
        response_remove: wire.response_remove,
    }
}

#[expect(deprecated, reason = "older control planes still say it with `append`")]
fn read_additions(
    r: &mut Reader,
    field: &str,
    wire: Vec<core::HeaderValueOption>,
) -> (Vec<HeaderValue>, Vec<HeaderValue>) {
    let (mut set, mut add) = (Vec::new(), Vec::new());
    r.each(field, wire, |r, mut wire| {
        let mut header = wire.header.take().unwrap_or_default();
        let value = HeaderValue {
            name: take(&mut header.key).to_ascii_lowercase(),
            value: take(&mut header.value),
        };
        r.within("header", |r| r.finish(header, Unread::REFUSED));
        let append = wire.append.take().map(|append| append.value);
        match (
            HeaderAppendAction::try_from(take(&mut wire.append_action)),
            append,
        ) {
            (Ok(HeaderAppendAction::OverwriteIfExistsOrAdd), _) => set.push(value),
            (Ok(HeaderAppendAction::AppendIfExistsOrAdd), Some(false)) => set.push(value),
            (Ok(HeaderAppendAction::AppendIfExistsOrAdd), _) => add.push(value),
            (action, _) => r.refuse("append_action", format!("{action:?} is not supported")),
        }
        r.finish(wire, Unread::IGNORED);
    });
    (set, add)
}

pub(super) fn retry(value: &RetryPolicy) -> route::RetryPolicy {
    let previous_hosts = route::retry_policy::RetryHostPredicate {
        name: PREVIOUS_HOSTS.into(),
        config_type: Some(
            route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack(
                &previous_hosts::PreviousHostsPredicate::default(),
            )),
        ),
    };
    route::RetryPolicy {
        retry_on: value.retry_on.join(","),
        num_retries: number(value.num_retries),
        per_try_timeout: value.per_try_timeout.map(duration),
        retry_host_predicate: if value.avoid_previous_hosts {
            vec![previous_hosts]
        } else {
            Vec::new()
        },
        retry_priority: value.leave_priorities_after.map(retry_priority),
        host_selection_retry_max_attempts: value.host_selection_attempts.into(),
        retriable_status_codes: value
            .retriable_status_codes
            .iter()
            .map(|&status| status.into())
            .collect(),
        retry_back_off: Some(route::retry_policy::RetryBackOff {
            base_interval: Some(duration(value.backoff.base)),
            max_interval: Some(duration(value.backoff.max)),
        }),
        ..Default::default()
    }
}

fn retry_priority(update_frequency: u32) -> route::retry_policy::RetryPriority {
    let config = previous_priorities::PreviousPrioritiesConfig {
        update_frequency: i32::try_from(update_frequency).unwrap_or(i32::MAX),
    };
    route::retry_policy::RetryPriority {
        name: PREVIOUS_PRIORITIES.into(),
        config_type: Some(
            route::retry_policy::retry_priority::ConfigType::TypedConfig(pack(&config)),
        ),
    }
}

fn read_retry_priority(r: &mut Reader, wire: route::retry_policy::RetryPriority) -> Option<u32> {
    use route::retry_policy::retry_priority::ConfigType;
    match &wire.config_type {
        Some(ConfigType::TypedConfig(any))
            if holds::<previous_priorities::PreviousPrioritiesConfig>(any) =>
        {
            let config: previous_priorities::PreviousPrioritiesConfig = unpack(r, any)?;
            u32::try_from(config.update_frequency)
                .ok()
                .filter(|frequency| *frequency > 0)
        }
        _ => {
            r.ignore("", format!("{} is not supported", wire.name));
            None
        }
    }
}

pub(super) fn read_retry(r: &mut Reader, mut wire: route::RetryPolicy) -> RetryPolicy {
    let avoid_previous_hosts = r
        .each(
            "retry_host_predicate",
            take(&mut wire.retry_host_predicate),
            read_host_predicate,
        )
        .contains(&true);
    let read = RetryPolicy {
        retry_on: words(&take(&mut wire.retry_on)),
        retriable_status_codes: take(&mut wire.retriable_status_codes)
            .into_iter()
            .filter_map(|status| u16::try_from(status).ok())
            .collect(),
        num_retries: wire.num_retries.take().map_or(1, |count| count.value),
        per_try_timeout: read_duration_or_zero(
            r,
            "per_try_timeout",
            wire.per_try_timeout.take(),
            None,
        ),
        avoid_previous_hosts,
        host_selection_attempts: take(&mut wire.host_selection_retry_max_attempts)
            .try_into()
            .unwrap_or(0),
        leave_priorities_after: wire
            .retry_priority
            .take()
            .and_then(|wire| r.within("retry_priority", |r| read_retry_priority(r, wire))),
        backoff: read_backoff(r, wire.retry_back_off.take()),
    };
    // What is left changes only when and where a failed request is tried again.
    r.finish(wire, Unread::IGNORED);
    read
}

fn read_host_predicate(r: &mut Reader, wire: route::retry_policy::RetryHostPredicate) -> bool {
    let is_previous_hosts = match &wire.config_type {
        Some(route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(any)) => {
            holds::<previous_hosts::PreviousHostsPredicate>(any)
        }
        None => wire.name == PREVIOUS_HOSTS,
    };
    if !is_previous_hosts {
        r.ignore("", format!("{} is not supported", wire.name));
    }
    is_previous_hosts
}

/// Without a longest wait it is ten times the first.
fn read_backoff(r: &mut Reader, wire: Option<route::retry_policy::RetryBackOff>) -> Backoff {
    let Some(wire) = wire else {
        return Backoff::default();
    };
    let base = read_duration(r, "retry_back_off.base_interval", wire.base_interval)
        .unwrap_or_else(|| Backoff::default().base);
    let max = read_duration(r, "retry_back_off.max_interval", wire.max_interval)
        .unwrap_or_else(|| base.saturating_mul(10));
    Backoff { base, max }
}

pub(super) fn fault(value: &Fault) -> http_fault::HttpFault {
    use http_fault::fault_abort::ErrorType;
    http_fault::HttpFault {
        delay: value.delay.map(|delay| fault_common::FaultDelay {
            percentage: Some(fraction(delay.share)),
            fault_delay_secifier: Some(fault_common::fault_delay::FaultDelaySecifier::FixedDelay(
                duration(delay.duration),
            )),
        }),
        abort: value.abort.map(|abort| http_fault::FaultAbort {
            percentage: Some(fraction(abort.share)),
            error_type: abort
                .http_status
                .map(|status| ErrorType::HttpStatus(status.into()))
                .or_else(|| abort.grpc_status.map(ErrorType::GrpcStatus)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn read_fault(r: &mut Reader, mut wire: http_fault::HttpFault) -> Fault {
    let delay = wire.delay.take();
    let abort = wire.abort.take();
    r.finish(
        wire,
        Unread::RefusedExcept(&["disable_downstream_cluster_stats", "filter_metadata"]),
    );
    Fault {
        delay: delay.and_then(|wire| r.within("delay", |r| read_delay(r, wire))),
        abort: abort.and_then(|wire| r.within("abort", |r| read_abort(r, wire))),
    }
}

fn read_delay(r: &mut Reader, wire: fault_common::FaultDelay) -> Option<FaultDelay> {
    use fault_common::fault_delay::FaultDelaySecifier;
    match wire.fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(delay)) => Some(FaultDelay {
            duration: read_duration(r, "fixed_delay", Some(delay))?,
            share: read_fraction(r, "percentage", wire.percentage, Fraction::NONE),
        }),
        _ => {
            r.refuse("", "only a fixed delay is supported");
            None
        }
    }
}

fn read_abort(r: &mut Reader, mut wire: http_fault::FaultAbort) -> Option<FaultAbort> {
    use http_fault::fault_abort::ErrorType;
    let share = read_fraction(r, "percentage", wire.percentage.take(), Fraction::NONE);
    let (http_status, grpc_status) = match wire.error_type.take() {
        Some(ErrorType::HttpStatus(status)) => (u16::try_from(status).ok(), None),
        Some(ErrorType::GrpcStatus(status)) => (None, Some(status)),
        _ => {
            r.refuse("", "only an HTTP or a gRPC status is supported");
            return None;
        }
    };
    r.finish(wire, Unread::IGNORED);
    Some(FaultAbort {
        http_status,
        grpc_status,
        share,
    })
}

pub(super) fn mirror(value: &Mirror) -> route::route_action::RequestMirrorPolicy {
    route::route_action::RequestMirrorPolicy {
        cluster: value.cluster.to_string(),
        runtime_fraction: Some(runtime_fraction(value.share)),
        ..Default::default()
    }
}

pub(super) fn read_mirror(
    r: &mut Reader,
    mut wire: route::route_action::RequestMirrorPolicy,
) -> Mirror {
    let read = Mirror {
        cluster: take(&mut wire.cluster).into(),
        share: wire.runtime_fraction.take().map_or(Fraction::ALL, |share| {
            read_runtime_fraction(r, "runtime_fraction", share, Fraction::ALL)
        }),
    };
    r.finish(
        wire,
        Unread::RefusedExcept(&["trace_sampled", "disable_shadow_host_suffix_append"]),
    );
    read
}

pub(super) fn cors(value: &CorsPolicy) -> http_cors::CorsPolicy {
    http_cors::CorsPolicy {
        allow_origin_string_match: value
            .allow_origins
            .iter()
            .map(|origin| pattern(origin, false))
            .collect(),
        allow_methods: value.allow_methods.join(","),
        allow_headers: value.allow_headers.join(","),
        expose_headers: value.expose_headers.join(","),
        max_age: value
            .max_age
            .map(|age| age.as_secs().to_string())
            .unwrap_or_default(),
        allow_credentials: value.allow_credentials.and_then(boolean),
        filter_enabled: Some(core::RuntimeFractionalPercent {
            default_value: Some(types::FractionalPercent {
                numerator: 100,
                ..Default::default()
            }),
            ..Default::default()
        }),
        forward_not_matching_preflights: boolean(value.forward_unmatched_preflights),
        ..Default::default()
    }
}

pub(super) fn read_cors(r: &mut Reader, mut wire: http_cors::CorsPolicy) -> CorsPolicy {
    let enabled = wire.filter_enabled.take().map_or(Fraction::ALL, |share| {
        read_runtime_fraction(r, "filter_enabled", share, Fraction::ALL)
    });
    if enabled != Fraction::ALL {
        r.refuse("filter_enabled", "a share of requests is not supported");
    }
    let max_age = take(&mut wire.max_age);
    let read = CorsPolicy {
        allow_origins: r.each(
            "allow_origin_string_match",
            take(&mut wire.allow_origin_string_match),
            read_pattern,
        ),
        allow_methods: words(&take(&mut wire.allow_methods)),
        allow_headers: words(&take(&mut wire.allow_headers)),
        expose_headers: words(&take(&mut wire.expose_headers)),
        max_age: max_age.parse().ok().map(Duration::from_secs),
        allow_credentials: wire.allow_credentials.take().map(|flag| flag.value),
        forward_unmatched_preflights: wire
            .forward_not_matching_preflights
            .take()
            .is_none_or(|flag| flag.value),
    };
    if read.max_age.is_none() && !max_age.is_empty() {
        r.ignore("max_age", format!("is not a number of seconds ({max_age})"));
    }
    r.finish(
        wire,
        Unread::RefusedExcept(&["shadow_enabled", "allow_private_network_access"]),
    );
    read
}

pub(super) fn hash(value: &HashPolicy) -> route::route_action::HashPolicy {
    use hash_policy::{
        ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
    };
    let specifier = match value.clone() {
        HashPolicy::Header(header_name) => PolicySpecifier::Header(Header {
            header_name,
            ..Default::default()
        }),
        HashPolicy::Cookie {
            name,
            path,
            ttl,
            attributes,
        } => PolicySpecifier::Cookie(Cookie {
            name,
            path,
            ttl: ttl.map(duration),
            attributes: attributes
                .into_iter()
                .map(|(name, value)| CookieAttribute { name, value })
                .collect(),
        }),
        HashPolicy::SourceIp => {
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
        }
        HashPolicy::QueryParameter(name) => {
            PolicySpecifier::QueryParameter(QueryParameter { name })
        }
    };
    route::route_action::HashPolicy {
        terminal: false,
        policy_specifier: Some(specifier),
    }
}

pub(super) fn read_hash(
    r: &mut Reader,
    wire: route::route_action::HashPolicy,
) -> Option<HashPolicy> {
    use hash_policy::PolicySpecifier;
    if wire.terminal {
        r.ignore("terminal", "is not supported; later policies are used too");
    }
    Some(match wire.policy_specifier {
        Some(PolicySpecifier::Header(mut wire)) => {
            let name = take(&mut wire.header_name);
            r.finish(wire, Unread::REFUSED);
            HashPolicy::Header(name.to_ascii_lowercase())
        }
        Some(PolicySpecifier::Cookie(mut wire)) => {
            let read = HashPolicy::Cookie {
                name: take(&mut wire.name),
                path: take(&mut wire.path),
                ttl: read_duration(r, "cookie.ttl", wire.ttl.take()),
                attributes: take(&mut wire.attributes)
                    .into_iter()
                    .map(|attribute| (attribute.name, attribute.value))
                    .collect(),
            };
            r.finish(wire, Unread::IGNORED);
            read
        }
        Some(PolicySpecifier::ConnectionProperties(wire)) if wire.source_ip => HashPolicy::SourceIp,
        Some(PolicySpecifier::QueryParameter(wire)) => HashPolicy::QueryParameter(wire.name),
        other => {
            r.refuse("policy_specifier", format!("is not supported ({other:?})"));
            return None;
        }
    })
}

pub(super) fn rewrite(value: &RegexRewrite) -> matcher::RegexMatchAndSubstitute {
    matcher::RegexMatchAndSubstitute {
        pattern: Some(regex(value.pattern.clone())),
        substitution: value.substitution.clone(),
    }
}

pub(super) fn read_rewrite(wire: matcher::RegexMatchAndSubstitute) -> RegexRewrite {
    RegexRewrite {
        pattern: wire.pattern.unwrap_or_default().regex,
        substitution: wire.substitution,
    }
}

/// The words of a list in one text.
fn words(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

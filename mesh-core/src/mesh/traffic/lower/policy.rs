//! Retries and CORS.

use super::{Lower, each};
use crate::{
    config::istio::{self, UnmatchedPreflights},
    mesh::{CorsPolicy, RetryPolicy, findings::Findings},
    name::Pattern,
};

impl Lower<'_> {
    pub(super) fn retries(&mut self, field: &str, written: &istio::Retries) -> RetryPolicy {
        retry_policy(field, written, &mut self.findings)
    }

    pub(super) fn cors(&mut self, field: &str, written: &istio::CorsPolicy) -> CorsPolicy {
        let plain = written.allow_origin.iter().map(|origin| match &**origin {
            "*" => Pattern::Prefix(String::new()),
            origin => Pattern::Exact(origin.into()),
        });
        let mut allow_origins: Vec<_> = plain.collect();
        for (field, origin) in each(&written.allow_origins, &format!("{field}.allowOrigins")) {
            allow_origins.extend(self.text(&field, Some(origin)));
        }
        CorsPolicy {
            allow_origins,
            allow_methods: written.allow_methods.clone(),
            allow_headers: written.allow_headers.clone(),
            expose_headers: written.expose_headers.clone(),
            max_age: written.max_age.map(|span| span.0),
            allow_credentials: written.allow_credentials,
            forward_unmatched_preflights: written.unmatched_preflights
                != UnmatchedPreflights::Ignore,
        }
    }
}

/// What a retry policy means, of a route or of the whole mesh.
pub(in crate::mesh) fn retry_policy(
    field: &str,
    written: &istio::Retries,
    findings: &mut Findings<'_>,
) -> RetryPolicy {
    let mut policy = RetryPolicy {
        attempts: u32::try_from(written.attempts).unwrap_or(0),
        per_try_timeout: written.per_try_timeout.map(|span| span.0),
        retry_on: Vec::new(),
        statuses: Vec::new(),
        remote_localities: written.retry_remote_localities.unwrap_or(false),
        ignore_previous_hosts: written.retry_ignore_previous_hosts.unwrap_or(true),
        backoff: written.backoff.map(|span| span.0),
    };
    let conditions = written.retry_on.split(',').map(str::trim);
    for condition in conditions.filter(|condition| !condition.is_empty()) {
        match condition.parse::<u16>() {
            Ok(status) if (100..600).contains(&status) => policy.statuses.push(status),
            _ if RETRY_CONDITIONS.contains(&condition) => policy.retry_on.push(condition.into()),
            _ => {
                let at = format!("{field}.retryOn");
                findings.error(&at, format!("{condition:?} is no condition or status"));
                findings.advise(format!("possible are {}", RETRY_CONDITIONS.join(", ")));
            }
        }
    }
    policy
}

/// Envoy's conditions (`x-envoy-retry-on` and `x-envoy-retry-grpc-on`).
const RETRY_CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

pub(in crate::mesh) use crate::name::is_header_name;

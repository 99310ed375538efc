//! When requests are tried again.

use super::view::View;
use crate::{
    dataplane::{Backoff, RetryPolicy},
    mesh,
};

/// Istio's conditions where nothing else is said.
const CONDITIONS: [&str; 5] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
    "retriable-status-codes",
];
/// Istio's number of retries where nothing else is said.
const RETRIES: u32 = 2;
/// How often another instance is drawn to avoid one that failed.
const HOST_SELECTION_ATTEMPTS: u32 = 5;
/// After how many attempts priorities are left, where a rule asks for other localities.
const PRIORITY_UPDATE: u32 = 2;
/// Envoy's longest wait is ten times the first.
const BACKOFF_GROWTH: u32 = 10;

/// What the mesh does with routes that do not say.
pub(super) fn default_policy(view: &View<'_>) -> Option<RetryPolicy> {
    match view.default_retries() {
        Some(written) => policy(written),
        None => Some(RetryPolicy {
            retry_on: CONDITIONS.map(String::from).into(),
            num_retries: RETRIES,
            avoid_previous_hosts: true,
            host_selection_attempts: HOST_SELECTION_ATTEMPTS,
            ..RetryPolicy::default()
        }),
    }
}

/// What a rule asks for; none where it asks for no retries.
pub(super) fn policy(written: &mesh::RetryPolicy) -> Option<RetryPolicy> {
    if written.attempts == 0 {
        return None;
    }
    let mut retry_on = written.retry_on.clone();
    if retry_on.is_empty() && written.statuses.is_empty() {
        retry_on = CONDITIONS.map(String::from).into();
    }
    let by_status = "retriable-status-codes";
    if !written.statuses.is_empty() && !retry_on.iter().any(|on| on == by_status) {
        retry_on.push(by_status.into());
    }
    let backoff = written
        .backoff
        .map_or_else(Backoff::default, |base| Backoff {
            base,
            max: base.saturating_mul(BACKOFF_GROWTH),
        });
    Some(RetryPolicy {
        retry_on,
        retriable_status_codes: written.statuses.clone(),
        num_retries: written.attempts,
        per_try_timeout: written.per_try_timeout.filter(|limit| !limit.is_zero()),
        avoid_previous_hosts: written.ignore_previous_hosts,
        host_selection_attempts: match written.ignore_previous_hosts {
            true => HOST_SELECTION_ATTEMPTS,
            false => 0,
        },
        leave_priorities_after: written.remote_localities.then_some(PRIORITY_UPDATE),
        backoff,
    })
}

/// Where a hash keeps requests on one instance, drawing another would break the affinity.
pub(super) fn with_affinity(mut policy: RetryPolicy, keeps_to_one: bool) -> RetryPolicy {
    if keeps_to_one {
        policy.avoid_previous_hosts = false;
        policy.host_selection_attempts = 0;
    }
    policy
}

/// What an inbound proxy does: the application has not seen what is tried again.
pub(super) fn inbound_policy() -> RetryPolicy {
    RetryPolicy {
        retry_on: vec!["reset-before-request".into()],
        num_retries: RETRIES,
        ..RetryPolicy::default()
    }
}

//! The most a cluster is given at once.

use mesh_core::dataplane::{CircuitLimits, Fraction, RetryBudget};

use crate::{
    codec::{
        reader::{Reader, Unread},
        scalar::{number, percent, read_percent},
    },
    proto::{cluster as v3, wkt},
};
use v3::circuit_breakers::thresholds::RetryBudget as RetryBudgetWire;

/// No limit is Istio's largest number.
pub(super) fn limits(value: &CircuitLimits) -> v3::CircuitBreakers {
    let limit = |value: Option<u32>| number(value.unwrap_or(u32::MAX));
    v3::CircuitBreakers {
        thresholds: vec![v3::circuit_breakers::Thresholds {
            max_connections: limit(value.max_connections),
            max_pending_requests: limit(value.max_pending_requests),
            max_requests: limit(value.max_requests),
            max_retries: limit(value.max_retries),
            retry_budget: value.retry_budget.map(|budget| RetryBudgetWire {
                budget_percent: Some(percent(budget.share)),
                min_retry_concurrency: number(budget.min_concurrency),
                ..Default::default()
            }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// What is left out has Envoy's limit: 1024, and 3 for retries.
pub(super) fn read_limits(r: &mut Reader, wire: v3::CircuitBreakers) -> CircuitLimits {
    let limit = |value: Option<wkt::UInt32Value>, unset: u32| {
        Some(value.map_or(unset, |value| value.value)).filter(|&value| value != u32::MAX)
    };
    let (mut ours, others): (Vec<_>, Vec<_>) =
        wire.thresholds.into_iter().partition(|t| t.priority == 0);
    if !others.is_empty() || !wire.per_host_thresholds.is_empty() {
        r.ignore(
            "circuit_breakers",
            "thresholds of other priorities and of single hosts are not supported",
        );
    }
    let mut wire = if ours.is_empty() {
        Default::default()
    } else {
        ours.swap_remove(0)
    };
    let read = CircuitLimits {
        max_connections: limit(wire.max_connections.take(), 1024),
        max_pending_requests: limit(wire.max_pending_requests.take(), 1024),
        max_requests: limit(wire.max_requests.take(), 1024),
        max_retries: limit(wire.max_retries.take(), 3),
        retry_budget: None,
    };
    let retry_budget = r.within("circuit_breakers.thresholds[0]", |r| {
        let budget = wire.retry_budget.take();
        let budget = budget.map(|mut budget| {
            let read = RetryBudget {
                share: read_percent(
                    r,
                    "retry_budget.budget_percent",
                    budget.budget_percent.take(),
                    Fraction::per_million(200_000),
                ),
                min_concurrency: budget
                    .min_retry_concurrency
                    .take()
                    .map_or(3, |least| least.value),
            };
            r.within("retry_budget", |r| r.finish(budget, Unread::IGNORED));
            read
        });
        r.finish(wire, Unread::IGNORED);
        budget
    });
    CircuitLimits {
        retry_budget,
        ..read
    }
}

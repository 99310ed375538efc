use std::{sync::Arc, time::Duration};

use http::{HeaderName, header};
use mesh_routing::{LimitRequest, LimitVerdict, limit::Allowance};

use crate::{
    http::{Failure, exchange::Exchange, headers},
    live::LimitsInForce,
};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Asks the limits whether the request passes.
pub(super) fn apply(
    limits: &Arc<LimitsInForce>,
    exchange: &mut Exchange<'_>,
) -> Result<(), Failure> {
    let of_worker = &exchange.connection.worker.limits;
    let facts = exchange.connection.facts();
    let request = LimitRequest {
        head: &exchange.view(),
        peer: facts.peer,
        remote: headers::remote(exchange),
        claims: exchange.claims.as_ref(),
    };
    match of_worker.check(limits, &request, of_worker.now()) {
        LimitVerdict::Pass(Some(allowance)) => {
            tell_pass(limits, &allowance, exchange);
            Ok(())
        }
        LimitVerdict::Pass(None) | LimitVerdict::WouldBeLimited(_) => Ok(()),
        LimitVerdict::Limited(allowance) => {
            exchange.on_response.limits.clear();
            tell(limits, &allowance, exchange);
            if let (Some(wait), false) = (allowance.wait, limits.planned.hides_limits) {
                let told = &mut exchange.on_response.limits;
                told.insert(header::RETRY_AFTER, seconds(wait).into());
            }
            // What is written comes last: whoever writes such a header means it.
            exchange.on_response.limits.extend(limits.headers.clone());
            Err(Failure::RateLimited {
                status: limits.planned.status,
            })
        }
    }
}

/// Tells of the limit of which the least is left; what is on trial says nothing to callers.
fn tell_pass(limits: &LimitsInForce, allowance: &Allowance, exchange: &mut Exchange<'_>) {
    let told = exchange.on_response.left;
    if !limits.planned.is_dry_run && told.is_none_or(|left| allowance.left < left) {
        tell(limits, allowance, exchange);
    }
}

fn tell(limits: &LimitsInForce, allowance: &Allowance, exchange: &mut Exchange<'_>) {
    if limits.planned.hides_limits {
        return;
    }
    let told = &mut exchange.on_response;
    told.left = Some(allowance.left);
    told.limits.insert(LIMIT, allowance.requests.into());
    told.limits.insert(REMAINING, allowance.left.into());
    match allowance.wait {
        Some(wait) => told.limits.insert(RESET, seconds(wait).into()),
        None => told.limits.remove(RESET),
    };
}

/// Whole seconds, rounded up: who comes back then is not too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

//! What each filter on the way of a request says. A filter the engine comes to know gets an arm in
//! [`PaperFilter`] and one here.

use std::time::{Duration, SystemTime};

use mesh_core::dataplane::RateLimitFilter;

use super::{
    Decision, FilterStep, Outcome, PolicyStep,
    compiled::{PaperFilter, PaperRules},
    receive::Received,
    tree::{FaultStep, HttpStep},
};
use crate::{
    AccessRequest, Matched, Verdict,
    access::{Clause, TokenVerdict, TokenVerifier},
    action::{CorsAnswer, CorsHeaders},
    limit::{Allowance, LimitRequest, LimitVerdict, RateLimiter},
    resilience::Abort,
};

/// What filters leave behind for the answer.
#[derive(Default)]
pub(super) struct OnAnswer {
    pub(super) cors: Option<CorsHeaders>,
    /// The request waits on purpose.
    pub(super) is_delayed: bool,
}

/// Runs one filter; what it decides ends the request.
pub(super) fn apply(
    filter: &PaperFilter,
    received: &mut Received<'_>,
    matched: Option<&Matched<'_>>,
    step: &mut HttpStep,
    on_answer: &mut OnAnswer,
) -> Option<Decision> {
    let (told, decision) = match filter {
        PaperFilter::Silent(name) => (passes(name), None),
        PaperFilter::Unsupported(name) => (unsupported(name), None),
        PaperFilter::Jwt(verifier) => verify(verifier, received),
        PaperFilter::Rbac(rules) => {
            let head = received.head();
            let connection = received.connection();
            let request = AccessRequest {
                head: Some(&head),
                connection: &connection,
                remote: received.remote,
                claims: received.claims.as_ref(),
            };
            let (told, denied) = authorize(rules, &request);
            (told, denied.map(|denied| denied.status(403)))
        }
        PaperFilter::Ask(ask) => {
            let head = received.head();
            let connection = received.connection();
            let request = AccessRequest {
                head: Some(&head),
                connection: &connection,
                remote: received.remote,
                claims: received.claims.as_ref(),
            };
            ask.judge(&request, received.arrival.providers_allow)
        }
        PaperFilter::RateLimit(planned) => limit(planned, received),
        PaperFilter::Fault => inject(received, matched, step, on_answer),
        PaperFilter::Cors => judge_origin(received, matched, on_answer),
    };
    step.filters.push(told);
    decision
}

/// A filter that the engine does not know.
pub(super) fn unsupported(name: &str) -> FilterStep {
    FilterStep {
        filter: name.to_owned(),
        verdict: "not supported: a proxy refuses a plan with it".to_owned(),
        policies: Vec::new(),
        supported: false,
    }
}

pub(super) fn passes(name: &str) -> FilterStep {
    FilterStep {
        filter: name.to_owned(),
        verdict: "passes".to_owned(),
        policies: Vec::new(),
        supported: true,
    }
}

/// Verifies the tokens that the request brings, unless somebody did so already.
fn verify(verifier: &TokenVerifier, received: &mut Received<'_>) -> (FilterStep, Option<Decision>) {
    let told = |verdict: String| FilterStep {
        verdict,
        ..passes("tokens")
    };
    if received.claims.is_some() {
        received.is_verified = true;
        return (told("passes: its claims are given".to_owned()), None);
    }
    let time = received.arrival.time.unwrap_or_default();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(time);
    let head = received.head();
    let (verdict, decision, verified) = match verifier.check(&head, now) {
        TokenVerdict::Absent => ("passes: it brings no token".to_owned(), None, None),
        TokenVerdict::Verified(verified) => {
            let said = format!("a genuine token of {}", verified.provider());
            (said, None, Some(verified))
        }
        TokenVerdict::Refused(refusal) => {
            let reason = format!("the token is refused: {}", refusal.error);
            let decision = Decision {
                denied_by: refusal.origin.cloned(),
                ..Decision::new(Outcome::Denied, reason.clone()).status(refusal.error.status())
            };
            (reason, Some(decision), None)
        }
    };
    let mut headers = received.head().headers.clone();
    verifier.sanitize(&mut headers);
    if let Some(verified) = &verified {
        verified.edit(&mut headers);
    }
    let claims = verified.map(|verified| verified.claims);
    received.authenticated(headers, claims);
    (told(verdict), decision)
}

/// Asks limits of which nothing is used up yet: only one that lets nothing pass can say no.
fn limit(planned: &RateLimitFilter, received: &Received<'_>) -> (FilterStep, Option<Decision>) {
    let Ok(mut limiter) = RateLimiter::compile(planned) else {
        return (unsupported("rate limit"), None);
    };
    let head = received.head();
    let request = LimitRequest {
        head: &head,
        peer: received.admitted.peer.as_ref(),
        remote: received.remote,
        claims: received.claims.as_ref(),
    };
    let of = |allowance: &Allowance| {
        let Allowance {
            limit,
            requests,
            per,
            left,
            ..
        } = allowance;
        format!("limit {limit} of {requests} in {per:?}, {left} more would pass now")
    };
    let (verdict, decision) = match limiter.check(&request, Duration::ZERO) {
        LimitVerdict::Pass(None) => ("passes: no limit is for it".to_owned(), None),
        LimitVerdict::Pass(Some(allowance)) => (format!("passes: {}", of(&allowance)), None),
        LimitVerdict::WouldBeLimited(allowance) => {
            (format!("passes, on trial: beyond {}", of(&allowance)), None)
        }
        LimitVerdict::Limited(allowance) => {
            let reason = format!("beyond {}", of(&allowance));
            let decision = Decision::new(Outcome::Denied, reason.clone());
            let decision = decision
                .status(planned.status)
                .flag("RL")
                .details("local_rate_limited");
            let decision = Decision {
                denied_by: allowance.origin,
                ..decision
            };
            (reason, Some(decision))
        }
    };
    let step = FilterStep {
        verdict,
        ..passes("rate limit")
    };
    (step, decision)
}

/// Asks the policies, and tells what each says.
pub(super) fn authorize(
    rules: &PaperRules,
    request: &AccessRequest<'_>,
) -> (FilterStep, Option<Decision>) {
    let explained = rules.authorizer.explain(&rules.planned, request);
    let verdict = explained.verdict;
    let trial = explained.shadow.map(|verdict| match verdict {
        Verdict::Allow => "; on trial: would allow",
        Verdict::Deny { .. } => "; on trial: would deny",
    });
    let policies = explained.policies.into_iter().map(|policy| PolicyStep {
        name: policy.name.clone(),
        origin: policy.origin.cloned(),
        matches: policy.failed.is_none(),
        because: policy.failed.map(|clause| {
            let Clause { wanted, found, .. } = clause;
            match &*found {
                "" => format!("it is for {wanted}"),
                found => format!("it is for {wanted}; found {found}"),
            }
        }),
        on_trial: policy.is_shadow,
    });
    let action = rules.planned.rules.as_ref().map(|rules| rules.action);
    let name = match action {
        Some(action) => format!("authorization ({action:?})").to_ascii_lowercase(),
        None => "authorization (on trial)".to_owned(),
    };
    let denied = denial(verdict);
    let said = match &denied {
        Some(denied) => denied.reason.clone(),
        None => "allowed".to_owned(),
    };
    let step = FilterStep {
        filter: name,
        verdict: said + trial.unwrap_or_default(),
        policies: policies.collect(),
        supported: true,
    };
    (step, denied)
}

fn denial(verdict: Verdict<'_>) -> Option<Decision> {
    let Verdict::Deny { policy, origin } = verdict else {
        return None;
    };
    let reason = match (policy, origin) {
        (_, Some(origin)) => format!("{origin} denies it"),
        (Some(policy), None) => format!("policy {policy} denies it"),
        (None, None) => "no policy allows it, and there are some that allow other things".into(),
    };
    Some(Decision {
        denied_by: origin.cloned(),
        ..Decision::new(Outcome::Denied, reason).details(verdict.to_string())
    })
}

fn inject(
    received: &Received<'_>,
    matched: Option<&Matched<'_>>,
    step: &mut HttpStep,
    on_answer: &mut OnAnswer,
) -> (FilterStep, Option<Decision>) {
    let Some(policy) = matched.and_then(|matched| matched.route.fault.as_ref()) else {
        return (passes("fault"), None);
    };
    let injection = policy.decide(received.arrival.seed);
    let mut told = FaultStep {
        delay_ms: injection
            .delay
            .map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        ..FaultStep::default()
    };
    on_answer.is_delayed = injection.delay.is_some();
    let answered = |status| {
        let reason = "the route injects a fault";
        Decision::new(Outcome::Answered, reason)
            .status(status)
            .flag("FI")
            .details("fault_filter_abort")
    };
    let decision = injection.abort.map(|abort| match abort {
        Abort::Http(status) => {
            told.abort = Some(status);
            answered(status)
        }
        Abort::Grpc(status) => {
            told.abort_grpc = Some(status);
            let mut decision = answered(200);
            let status = ("grpc-status".to_owned(), status.to_string());
            decision.headers.push(status);
            decision
        }
    });
    let says = match (&told, &decision) {
        (_, Some(_)) => "answers instead of the destination".to_owned(),
        (
            FaultStep {
                delay_ms: Some(ms), ..
            },
            None,
        ) => format!("waits {ms} ms"),
        _ => "passes: not in the share of requests it is for".to_owned(),
    };
    step.fault = Some(told);
    let told = FilterStep {
        verdict: says,
        ..passes("fault")
    };
    (told, decision)
}

fn judge_origin(
    received: &Received<'_>,
    matched: Option<&Matched<'_>>,
    on_answer: &mut OnAnswer,
) -> (FilterStep, Option<Decision>) {
    let Some(cors) = matched.and_then(|matched| matched.route.cors.as_ref()) else {
        return (passes("CORS"), None);
    };
    match cors.judge(&received.head()) {
        CorsAnswer::Pass => (passes("CORS"), None),
        CorsAnswer::Mark(headers) => {
            on_answer.cors = Some(headers);
            let told = FilterStep {
                verdict: "the origin may read the answer".to_owned(),
                ..passes("CORS")
            };
            (told, None)
        }
        CorsAnswer::Answer(headers) => {
            on_answer.cors = Some(headers);
            let told = FilterStep {
                verdict: "answers the preflight".to_owned(),
                ..passes("CORS")
            };
            let reason = "a preflight is answered by the proxy";
            let decision = Decision::new(Outcome::Answered, reason)
                .status(200)
                .details("cors_preflight");
            (told, Some(decision))
        }
    }
}

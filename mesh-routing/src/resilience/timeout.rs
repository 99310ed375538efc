use std::time::Duration;

use http::HeaderMap;
use mesh_core::dataplane::Forward;

/// How long a request may take. None has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// From the request's end to the response's end, retries included.
    pub request: Option<Duration>,
    /// One attempt.
    pub per_try: Option<Duration>,
    /// How long nothing may move on the stream.
    pub idle: Option<Duration>,
}

impl Deadlines {
    /// The limits for a request. A gRPC caller's own limit replaces the rule's, up to what the rule
    /// permits; `trusted` callers may set limits with `x-envoy-upstream-rq-timeout-ms` and
    /// `x-envoy-upstream-rq-per-try-timeout-ms`. A limit of zero is none.
    pub fn of(forward: &Forward, headers: &HeaderMap, trusted: bool) -> Self {
        let mut request = forward.timeout;
        if let Some(most) = forward.max_grpc_timeout
            && let Some(asked) = grpc_timeout(headers)
        {
            request = Some(match most {
                Duration::ZERO => asked,
                most => asked.min(most),
            });
            // Zero would mean no limit, but this caller's time is over.
            if asked.is_zero() {
                request = Some(Duration::from_nanos(1));
            }
        }
        let mut per_try = forward
            .retry
            .as_ref()
            .and_then(|retry| retry.per_try_timeout);
        if trusted {
            request = millis(headers, "x-envoy-upstream-rq-timeout-ms").or(request);
            per_try = millis(headers, "x-envoy-upstream-rq-per-try-timeout-ms").or(per_try);
        }
        let limit = |limit: Option<Duration>| limit.filter(|limit| !limit.is_zero());
        let request = limit(request);
        Self {
            request,
            per_try: limit(per_try)
                .filter(|per_try| request.is_none_or(|request| *per_try < request)),
            idle: limit(forward.idle_timeout),
        }
    }
}

/// The limit a gRPC caller sets: at most eight digits and a unit (gRPC over HTTP/2, `Timeout`).
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

fn millis(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(Duration::from_millis(text.parse().ok()?))
}

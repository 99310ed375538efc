use std::time::Duration;

use serde::Serialize;

use super::{Name, human};
use crate::name::Pattern;

/// A share of requests, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Fraction(u32);

impl Fraction {
    /// All of them.
    pub const ALL: Self = Self(Self::MILLION);
    /// None of them.
    pub const NONE: Self = Self(0);

    const MILLION: u32 = 1_000_000;

    /// A number of millionths; more than a million is all.
    pub fn per_million(parts: u32) -> Self {
        Self(parts.min(Self::MILLION))
    }

    /// A percentage, rounded to a millionth; outside 0 to 100 or not a number is none.
    pub fn percent(value: f64) -> Option<Self> {
        (0.0..=100.0)
            .contains(&value)
            .then(|| Self((value * 10_000.0).round() as u32))
    }

    /// In millionths.
    pub fn parts(self) -> u32 {
        self.0
    }

    /// Whether a uniform draw from all of `u64` falls into this share.
    pub fn includes(self, dice: u64) -> bool {
        self == Self::ALL || ((u128::from(dice) * u128::from(Self::MILLION)) >> 64) < self.0.into()
    }
}

/// Changes to headers on the way in and on the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HeaderEdits {
    /// Set on requests, replacing what is there.
    pub request_set: Vec<HeaderValue>,
    /// Added to requests beside what is there.
    pub request_add: Vec<HeaderValue>,
    /// Removed from requests.
    pub request_remove: Vec<String>,
    /// Set on responses, replacing what is there.
    pub response_set: Vec<HeaderValue>,
    /// Added to responses beside what is there.
    pub response_add: Vec<HeaderValue>,
    /// Removed from responses.
    pub response_remove: Vec<String>,
}

/// A header to write. The value may hold Envoy's `%COMMAND%` operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderValue {
    /// In lower case.
    pub name: String,
    /// The text to write.
    pub value: String,
}

impl HeaderEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// When a request is tried again.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RetryPolicy {
    /// Envoy's conditions: `5xx`, `gateway-error`, `connect-failure`, `reset`, `unavailable`, ...
    pub retry_on: Vec<String>,
    /// Statuses that are tried again under `retriable-status-codes`.
    pub retriable_status_codes: Vec<u16>,
    /// How often at most, beside the first attempt.
    pub num_retries: u32,
    /// How long one attempt may take; none has no limit of its own.
    #[serde(serialize_with = "human::optional_duration")]
    pub per_try_timeout: Option<Duration>,
    /// Do not choose an instance that failed already.
    pub avoid_previous_hosts: bool,
    /// How often another instance is drawn to avoid one.
    pub host_selection_attempts: u32,
    /// After every so many attempts, leave the priorities they went to for others, as far as there
    /// are any (Envoy's `previous_priorities`); none stays. Istio's `retryRemoteLocalities` is 2.
    pub leave_priorities_after: Option<u32>,
    /// Waits between attempts.
    pub backoff: Backoff,
}

/// Waits between attempts: a random time up to an exponentially growing bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Backoff {
    /// The first bound.
    #[serde(serialize_with = "human::duration")]
    pub base: Duration,
    /// The largest bound.
    #[serde(serialize_with = "human::duration")]
    pub max: Duration,
}

/// Envoy's: 25 ms, at most ten times that.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            max: Duration::from_millis(250),
        }
    }
}

/// Delay or abort requests on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Wait first.
    pub delay: Option<FaultDelay>,
    /// Answer instead of forwarding.
    pub abort: Option<FaultAbort>,
}

/// Wait before going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FaultDelay {
    /// How long.
    #[serde(serialize_with = "human::duration")]
    pub duration: Duration,
    /// How many requests.
    pub share: Fraction,
}

/// Answer instead of forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FaultAbort {
    /// HTTP status, 200 to 599.
    pub http_status: Option<u16>,
    /// gRPC status, answered to gRPC requests.
    pub grpc_status: Option<u32>,
    /// How many requests.
    pub share: Fraction,
}

/// Send a copy and ignore its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Where to.
    pub cluster: Name,
    /// How many requests.
    pub share: Fraction,
}

/// Who may call from a browser (the Fetch standard's CORS protocol).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CorsPolicy {
    /// Origins that may.
    pub allow_origins: Vec<Pattern>,
    /// `access-control-allow-methods`.
    pub allow_methods: Vec<String>,
    /// `access-control-allow-headers`.
    pub allow_headers: Vec<String>,
    /// `access-control-expose-headers`.
    pub expose_headers: Vec<String>,
    /// `access-control-max-age`.
    #[serde(serialize_with = "human::optional_duration")]
    pub max_age: Option<Duration>,
    /// `access-control-allow-credentials`.
    pub allow_credentials: Option<bool>,
    /// Pass preflights of other origins on to the destination.
    pub forward_unmatched_preflights: bool,
}

/// What keeps requests on one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashPolicy {
    /// A header's value.
    Header(String),
    /// A cookie's value; made with this lifetime and path where there is none and a lifetime is set.
    Cookie {
        /// The cookie's name.
        name: String,
        /// Its path.
        path: String,
        /// Its lifetime; zero lasts as long as the browser.
        #[serde(serialize_with = "human::optional_duration")]
        ttl: Option<Duration>,
        /// Further words about one that is made, by name and value; a value may be empty.
        attributes: Vec<(String, String)>,
    },
    /// The caller's address.
    SourceIp,
    /// A query parameter's value.
    QueryParameter(String),
}

/// A new path by regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegexRewrite {
    /// What to look for.
    pub pattern: String,
    /// What to put there; `\1` stands for the first group.
    pub substitution: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (percent, parts) in [
            (0.0, Some(0)),
            (0.0001, Some(1)),
            (12.5, Some(125_000)),
            (100.0, Some(1_000_000)),
            (100.1, None),
            (-1.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(
                Fraction::percent(percent).map(Fraction::parts),
                parts,
                "{percent}"
            );
        }
        let half = Fraction::per_million(500_000);
        assert!(half.includes(u64::MAX / 2));
        assert!(!half.includes(u64::MAX / 2 + 1));
        assert!(Fraction::ALL.includes(u64::MAX));
        assert!(!Fraction::NONE.includes(0));
    }
}

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::Name;
use crate::name::Pattern;

/// How many requests pass (a filter of our own). A request passes if every limit lets it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateLimitFilter {
    /// Each is asked.
    pub limits: Vec<RateLimit>,
    /// The resource that asked for this.
    pub origin: Option<super::Origin>,
    /// Requests beyond a limit pass, and it is only told.
    pub is_dry_run: bool,
    /// The status of the answer to a request beyond a limit.
    pub status: u16,
    /// Headers of that answer.
    pub headers: BTreeMap<String, String>,
    /// Say nothing of limits in headers: neither `retry-after` nor `x-ratelimit-*`.
    pub hides_limits: bool,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// How it is called.
    pub name: Name,
    /// The requests it is for: one of these must match; empty for all.
    pub matches: Vec<LimitMatch>,
    /// How many requests in `per`; none pass with zero.
    pub requests: u32,
    /// A span of time, longer than zero.
    pub per: Duration,
    /// How many may come at once after a pause.
    pub burst: u32,
    /// Counted anew for each span, from its first request on.
    pub is_quota: bool,
    /// What has a count of its own: each combination of values.
    pub keys: Vec<LimitKey>,
    /// Among whom each count is divided fairly.
    pub fair_share: Option<LimitKey>,
    /// From the most to the least important; a request is of the first class that it matches, and
    /// leaves nothing to others if it is of none.
    pub priorities: Vec<LimitPriority>,
}

/// What has a count of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// The caller's proven identity.
    Identity,
    /// The caller's address as trusted hops tell it.
    RemoteAddress,
    /// The path without its query.
    Path,
    /// The method.
    Method,
    /// A header, by name in lower case.
    Header(String),
    /// A claim of the verified token, by its path.
    Claim(Vec<String>),
}

/// Requests: every part must agree, empty ones ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitMatch {
    /// Methods.
    pub methods: Vec<String>,
    /// Hosts in lower case, without port.
    pub hosts: Vec<Pattern>,
    /// Paths without their query.
    pub paths: Vec<Pattern>,
    /// Headers by name in lower case, and what their value must be.
    pub headers: Vec<(String, Option<Pattern>)>,
    /// Proven identities without scheme.
    pub identities: Vec<Pattern>,
}

/// Requests of one importance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitPriority {
    /// Its name.
    pub name: Name,
    /// The requests: one of these must match; empty for all.
    pub matches: Vec<LimitMatch>,
    /// The percentage of the burst that they leave to more important ones.
    pub leaves: u8,
}

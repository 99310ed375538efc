use std::collections::BTreeMap;

use serde::Deserialize;

use crate::config::{Span, istio::WorkloadSelector};

/// How many requests workloads take (`mesh.local/v1alpha1` `RateLimit`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// The workloads; none for all of the namespace, or of the mesh in the root namespace.
    pub selector: Option<WorkloadSelector>,
    /// Whether requests beyond a limit are answered or only counted.
    pub mode: LimitMode,
    /// What a request beyond a limit is answered.
    pub response: LimitResponse,
    /// Each is asked; a request passes if all let it.
    pub limits: Vec<Limit>,
}

/// Whether requests beyond a limit are answered or only counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LimitMode {
    /// They are answered.
    #[default]
    Enforce,
    /// They pass, and it is told that they would not have.
    DryRun,
}

/// What a request beyond a limit is answered.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitResponse {
    /// The status, 429 by default.
    pub status: Option<u16>,
    /// Headers besides `retry-after` and `x-ratelimit-*`.
    pub headers: BTreeMap<String, String>,
    /// Leave out `retry-after` and `x-ratelimit-*`.
    pub hide_limits: bool,
}

/// One limit.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limit {
    /// How answers and explanations call it; its place in the list where it is not given.
    pub name: String,
    /// The requests it is for: those that one of these matches; all if there are none.
    #[serde(rename = "match")]
    pub matches: Vec<LimitMatch>,
    /// How many requests in a span of time; 0 lets none pass.
    pub requests: Option<u32>,
    /// The span of time, one second by default.
    pub per: Option<Span>,
    /// How many may come at once after a pause; as many as `requests` by default.
    pub burst: Option<u32>,
    /// Count from the first request of each span anew, instead of giving back bit by bit.
    pub quota: bool,
    /// What has a count of its own: each combination of these; none for one count for all.
    pub keys: Vec<LimitKey>,
    /// Divide the count fairly among these: each gets what it asks for up to an equal share, and
    /// what some leave is shared by the others.
    pub fair_share: Option<LimitKey>,
    /// Which requests may use how much of the count, from the most to the least important.
    pub priorities: Vec<PriorityClass>,
}

/// What has a count of its own: one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitKey {
    /// The caller's proven identity.
    pub identity: bool,
    /// The caller's address as trusted hops tell it.
    pub remote_address: bool,
    /// The path without its query.
    pub path: bool,
    /// The method.
    pub method: bool,
    /// A header, by name.
    pub header: Option<String>,
    /// A claim of the verified token, by its path.
    pub claim: Vec<String>,
}

/// Requests: every field given must agree.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitMatch {
    /// Methods.
    pub methods: Vec<String>,
    /// Hosts, without regard to case.
    pub hosts: Vec<TextMatch>,
    /// Paths without their query.
    pub paths: Vec<TextMatch>,
    /// Headers, all of them.
    pub headers: Vec<HeaderMatch>,
    /// Proven identities without scheme, as in `cluster.local/ns/default/sa/web`.
    pub identities: Vec<TextMatch>,
}

/// A condition on a text: one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TextMatch {
    /// The whole text.
    pub exact: Option<String>,
    /// Its beginning.
    pub prefix: Option<String>,
    /// Its end.
    pub suffix: Option<String>,
    /// A regular expression in RE2 syntax that matches the whole text.
    pub regex: Option<String>,
}

/// A condition on a header: it must be there, and match if something is asked of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderMatch {
    /// Its name.
    pub name: String,
    /// What its value must be.
    pub value: Option<TextMatch>,
}

/// Requests of one importance.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PriorityClass {
    /// Its name.
    pub name: String,
    /// The requests: those that one of these matches; all if there are none.
    #[serde(rename = "match")]
    pub matches: Vec<LimitMatch>,
    /// The percentage of the burst that these requests leave to more important ones.
    pub leaves: u32,
}

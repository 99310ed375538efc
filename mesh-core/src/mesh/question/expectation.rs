use std::{collections::BTreeMap, time::Duration};

/// What is expected to become of a call. What is none is not compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expectation {
    /// How it ends.
    pub outcome: Option<ExpectedOutcome>,
    /// The HTTP status the caller gets.
    pub status: Option<u16>,
    /// Envoy's response flags at the proxy that decided, joined by commas; empty for none.
    pub flags: Option<String>,
    /// Host and port of the service the caller's proxy chose.
    pub destination: Option<String>,
    /// The subset it chose, empty for none.
    pub subset: Option<String>,
    /// What it chose among: weights by subset, or by host, `host:port` or `host:port/subset`.
    pub weights: Option<BTreeMap<String, u32>>,
    /// The cluster it chose.
    pub cluster: Option<String>,
    /// Every instance that it may have picked.
    pub endpoints: Option<Vec<String>>,
    /// The instance that it picked.
    pub endpoint: Option<String>,
    /// Whether the last connection between proxies is one of mutual TLS.
    pub mtls: Option<bool>,
    /// Whom the caller's proxy expects, in any order.
    pub identity: Option<Vec<String>>,
    /// The name of the route that decided at the caller's proxy.
    pub route: Option<String>,
    /// `namespace/name` of the resource it was written in.
    pub rule: Option<String>,
    /// Path and query as the application sees them.
    pub path: Option<String>,
    /// The authority as the application sees it.
    pub authority: Option<String>,
    /// Headers as the application sees them, by name in lower case; none is absent.
    pub request_headers: BTreeMap<String, Option<String>>,
    /// Headers that proxies add to the answer as the caller sees it; none is absent.
    pub response_headers: BTreeMap<String, Option<String>>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// How long the call may take; zero for no limit.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retries: Option<ExpectedRetries>,
    /// Where copies go for this seed.
    pub mirrors: Option<Vec<ExpectedMirror>>,
    /// What is injected for this seed.
    pub fault: Option<ExpectedFault>,
    /// `namespace/name` of the policy that denies, `none` where no policy allows.
    pub denied_by: Option<String>,
    /// A part of the reason that is given.
    pub reason: Option<String>,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedOutcome {
    /// It reaches an application, inside the mesh or outside.
    Forwarded,
    /// The caller is sent elsewhere.
    Redirected,
    /// A proxy answers it: on purpose, by a fault, or because the request is broken.
    Answered,
    /// A policy forbids it.
    Denied,
    /// A connection is not taken: no listener, no chain, or TLS fails.
    Refused,
    /// There is no route, no cluster or no instance that may be called.
    Unavailable,
}

/// When a call is tried again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectedRetries {
    /// How often at most, beside the first time; zero for never.
    pub attempts: Option<u32>,
    /// How long one attempt may take.
    pub per_try_timeout: Option<Duration>,
    /// Conditions, joined by commas.
    pub retry_on: Option<String>,
}

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedMirror {
    /// A host, `host:port`, or a cluster.
    pub to: String,
    /// Of how many requests.
    pub percent: Option<f64>,
}

/// What is injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpectedFault {
    /// How long the call waits; zero for not at all.
    pub delay: Option<Duration>,
    /// The status it is answered with.
    pub abort: Option<u16>,
}

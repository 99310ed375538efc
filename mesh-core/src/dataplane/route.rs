use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    ClaimMatch, CorsPolicy, Fault, Fraction, HashPolicy, HeaderEdits, Mirror, Name, Origin,
    RegexRewrite, RetryPolicy, human,
};
use crate::name::Pattern;

/// How requests find their destination, chosen first by host, then rule by rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RouteTable {
    /// Unique name: Istio's is the port, `9080`.
    pub name: Name,
    /// Hosts and their rules.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Look hosts up without their port.
    pub ignore_port_in_host_matching: bool,
    /// Edits for every request and response of the table.
    pub headers: HeaderEdits,
}

/// A set of hosts that share rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VirtualHost {
    /// Unique within its table: Istio's is `<fqdn>:<port>`.
    pub name: Name,
    /// Hosts: exact, `*.suffix`, `prefix.*` or `*`; unique within the table.
    pub domains: Vec<String>,
    /// Rules; the first that matches decides.
    pub routes: Vec<Route>,
    /// Edits for every request and response of these hosts.
    pub headers: HeaderEdits,
    /// Tell the destination how many attempts were made, as `x-envoy-attempt-count`.
    pub include_attempt_count: bool,
}

/// One rule: which requests, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Route {
    /// What logs call it, perhaps empty.
    pub name: Name,
    /// Which requests.
    pub matches: RouteMatch,
    /// What becomes of them.
    pub action: RouteAction,
    /// Edits for requests and responses.
    pub headers: HeaderEdits,
    /// Delay or abort on purpose.
    pub fault: Option<Fault>,
    /// Who may call from a browser.
    pub cors: Option<CorsPolicy>,
    /// What traces call the operation.
    pub operation: Option<Name>,
    /// The resource that asked for this.
    pub origin: Option<Origin>,
}

/// Which requests a rule is for: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RouteMatch {
    /// The path, without its query.
    pub path: PathMatch,
    /// Compare exact paths and prefixes without regard to case.
    pub ignore_case: bool,
    /// Headers, pseudo-headers (`:method`, `:authority`, `:scheme`) included.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// Claims of the request's verified token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<RouteClaim>,
    /// Only this share of requests.
    pub fraction: Option<Fraction>,
    /// Only gRPC requests.
    pub grpc: bool,
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Its beginning, as text.
    Prefix(String),
    /// Its beginning, ending at a `/` or the end of the path.
    PathSeparatedPrefix(String),
    /// A regular expression over the whole path.
    Regex(String),
    /// A CONNECT request.
    Connect,
}

/// A condition on a header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// What its value, several joined by commas, must be.
    pub value: ValueMatch,
    /// Ask for the opposite.
    pub invert: bool,
    /// Take a missing header for an empty one, instead of no match.
    pub missing_is_empty: bool,
}

/// A condition on a query parameter; the first of its name counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueryMatch {
    /// Its name.
    pub name: String,
    /// What its value must be.
    pub value: ValueMatch,
}

/// A condition on a claim. A rule that asks for one is found only once the token was verified, see
/// [`JwtFilter::reroutes`](super::JwtFilter::reroutes).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteClaim {
    /// Which claim, and what it must be.
    pub claim: ClaimMatch,
    /// Ask for the opposite. Then a request without the claim, or without a token, matches.
    pub invert: bool,
}

/// A condition on a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMatch {
    /// It is there.
    Present,
    /// Its text.
    Text {
        /// What the text must be.
        pattern: Pattern,
        /// Without regard to case.
        ignore_case: bool,
    },
    /// A whole number, at least `start` and less than `end`.
    Range {
        /// The smallest.
        start: i64,
        /// One more than the largest.
        end: i64,
    },
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "configuration, made rarely and kept in an Arc"
)]
pub enum RouteAction {
    /// Goes to a cluster.
    Forward(Forward),
    /// Is sent elsewhere by the caller.
    Redirect(Redirect),
    /// Is answered here.
    Respond(DirectResponse),
}

/// How a request goes to a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forward {
    /// Which cluster.
    pub cluster: ClusterChoice,
    /// From the request's end to the response's end, retries included; none has no limit.
    #[serde(serialize_with = "human::optional_duration")]
    pub timeout: Option<Duration>,
    /// How long nothing may move on the stream; none keeps the listener's.
    #[serde(serialize_with = "human::optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// The most a `grpc-timeout` header may ask for; zero honours any, none ignores the header.
    #[serde(serialize_with = "human::optional_duration")]
    pub max_grpc_timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    /// The path to send.
    pub path: Option<PathRewrite>,
    /// The host to send.
    pub host: Option<String>,
    /// Append the host that was replaced as `x-forwarded-host`.
    pub append_forwarded_host: bool,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// What keeps requests on one instance.
    pub hash: Vec<HashPolicy>,
    /// Status when the cluster does not exist: 503 for Istio, 500 for the Gateway API.
    pub missing_cluster_status: Option<u16>,
}

/// Which cluster a request goes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterChoice {
    /// Always this one.
    Single(Name),
    /// One of these, by weight.
    Weighted(Vec<WeightedCluster>),
    /// The one this header names.
    Header(String),
}

/// A cluster with its share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightedCluster {
    /// The cluster.
    pub name: Name,
    /// Its share, relative to the sum.
    pub weight: u32,
    /// Edits for requests and responses that go there.
    pub headers: HeaderEdits,
}

/// A new path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathRewrite {
    /// In place of what the rule's path condition matched.
    Prefix(String),
    /// In place of the whole path.
    Full(String),
    /// By regular expression.
    Regex(RegexRewrite),
}

/// Send the caller elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme.
    pub scheme: SchemeRedirect,
    /// Another host.
    pub host: Option<String>,
    /// Another port.
    pub port: Option<PortRedirect>,
    /// Another path.
    pub path: Option<PathRewrite>,
    /// Leave the query away.
    pub strip_query: bool,
}

/// The scheme of a redirect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemeRedirect {
    /// As the request came.
    #[default]
    Keep,
    /// `https`.
    Https,
    /// This one.
    To(String),
}

/// The port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRedirect {
    /// This one; the scheme's own is left unsaid.
    To(u16),
    /// The port the request came to.
    FromRequest,
}

/// Answer here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DirectResponse {
    /// HTTP status.
    pub status: u16,
    /// The answer's body.
    #[serde(serialize_with = "human::lossy_text")]
    pub body: Arc<[u8]>,
}

/// Everything, as Envoy's prefix `/` does.
impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

impl Default for ClusterChoice {
    fn default() -> Self {
        Self::Weighted(Vec::new())
    }
}

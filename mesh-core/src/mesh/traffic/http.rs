use std::{sync::Arc, time::Duration};

use super::{ClientMatch, Destination, WeightedDestination};
use crate::{
    mesh::PerMillion,
    name::{Pattern, ResourceRef},
};

/// A rule for HTTP requests.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRule {
    /// Its name, perhaps empty.
    pub name: String,
    /// Its place in the VirtualService, for explanations: `spec.http[2]`.
    pub field: String,
    /// The resource it is written in, where that is not the one its [`TrafficRules`] name.
    ///
    /// [`TrafficRules`]: super::TrafficRules
    pub origin: Option<ResourceRef>,
    /// Which requests: one of these must match; none at all means every request.
    pub matches: Vec<HttpMatch>,
    /// What becomes of them.
    pub action: HttpAction,
    /// Delay or abort on purpose.
    pub fault: Option<Fault>,
    /// Who may call from a browser.
    pub cors: Option<CorsPolicy>,
    /// Changes to headers.
    pub headers: HeaderEdits,
}

/// Which requests: all parts must agree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpMatch {
    /// Its name, perhaps empty.
    pub name: String,
    /// The path; none for any.
    pub path: Option<PathCondition>,
    /// Headers that must be so, names in lower case, by name.
    pub headers: Vec<HeaderCondition>,
    /// Headers that must not be so, by name.
    pub without_headers: Vec<HeaderCondition>,
    /// Query parameters, by name.
    pub query: Vec<HeaderCondition>,
    /// Claims of the request's verified token.
    pub claims: Vec<ClaimCondition>,
    /// `:scheme`, `:method` and `:authority`.
    pub scheme: Option<Pattern>,
    /// The method.
    pub method: Option<Pattern>,
    /// The host as requested.
    pub authority: Option<Pattern>,
    /// The port the request was sent to.
    pub port: Option<u16>,
    /// Who sends it.
    pub client: ClientMatch,
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq)]
pub struct PathCondition {
    /// What the path, without its query, must be.
    pub pattern: Pattern,
    /// Without regard to case; never with a regular expression.
    pub ignore_case: bool,
    /// A prefix ends where a segment of the path does: `/a` stands for `/a` and `/a/b`, but not
    /// for `/ab`. That is how the Gateway API means it, and not how Istio does.
    pub by_segment: bool,
}

/// A condition on a header or query parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderCondition {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub value: TextCondition,
}

/// A condition on a claim of the request's verified token. Tokens are verified where requests come
/// in: at gateways, before they are routed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimCondition {
    /// Names that lead to it from the token's payload, through nested objects.
    pub path: Vec<String>,
    /// What its text, or one text of its list, must be.
    pub value: TextCondition,
    /// Ask for the opposite. Then a request without the claim, or without a token, matches.
    pub negated: bool,
}

/// A condition on a text that may be missing.
#[derive(Debug, Clone, PartialEq)]
pub enum TextCondition {
    /// It is there.
    Present,
    /// It is there and so.
    Is(Pattern),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum HttpAction {
    /// Goes to a destination.
    Forward(Forward),
    /// Is sent elsewhere by the caller.
    Redirect(Redirect),
    /// Is answered by the proxy.
    Respond(DirectResponse),
}

/// How a request goes to its destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Forward {
    /// Where to; none only where everything leads nowhere.
    pub destinations: Vec<WeightedDestination>,
    /// The share, relative to the sum, whose destination may not be used or is not there: it is
    /// answered with a 500, as the Gateway API asks for.
    pub nowhere: u32,
    /// A new path.
    pub path: Option<PathRewrite>,
    /// A new host.
    pub host: Option<String>,
    /// How long it may take, retries included; none has no limit.
    pub timeout: Option<Duration>,
    /// When it is tried again; none for the mesh's default.
    pub retries: Option<RetryPolicy>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
}

/// A new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// In place of what the condition on the path matched; of the whole path where that was exact.
    Matched(String),
    /// In place of the whole path.
    Whole(String),
    /// By regular expression; `\1` stands for the first group.
    Regex {
        /// What to look for.
        pattern: String,
        /// What to put there.
        substitution: String,
    },
}

/// Send the caller elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme.
    pub scheme: Option<String>,
    /// Another host.
    pub authority: Option<String>,
    /// Another port; none for the scheme's own if host or scheme changes.
    pub port: Option<RedirectPort>,
    /// Another path, in place of the whole.
    pub path: Option<String>,
    /// Another path, in place of what the condition on the path matched.
    pub prefix: Option<String>,
}

/// The port of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// The scheme's own.
    ProtocolDefault,
    /// The one the request came to.
    Request,
}

/// Answer at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// HTTP status, 200 to 599.
    pub status: u16,
    /// The answer's body.
    pub body: Arc<[u8]>,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// How often at most, beside the first attempt; zero never.
    pub attempts: u32,
    /// How long one attempt may take.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's conditions; empty for Istio's default ones.
    pub retry_on: Vec<String>,
    /// Statuses that are tried again.
    pub statuses: Vec<u16>,
    /// Try other localities too.
    pub remote_localities: bool,
    /// Do not choose an instance that failed already.
    pub ignore_previous_hosts: bool,
    /// The first wait's bound; none for Envoy's 25 ms.
    pub backoff: Option<Duration>,
}

/// Delay or abort on purpose. At least one of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Wait first.
    pub delay: Option<Delay>,
    /// Answer with a failure.
    pub abort: Option<Abort>,
}

/// Wait first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// How many requests.
    pub share: PerMillion,
}

/// Answer with a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// HTTP status, 200 to 599.
    pub http_status: Option<u16>,
    /// gRPC status, 0 to 16.
    pub grpc_status: Option<u32>,
    /// How many requests.
    pub share: PerMillion,
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// How many requests; never none.
    pub share: PerMillion,
}

/// Who may call from a browser.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CorsPolicy {
    /// Origins that may.
    pub allow_origins: Vec<Pattern>,
    /// Methods they may use.
    pub allow_methods: Vec<String>,
    /// Headers they may send.
    pub allow_headers: Vec<String>,
    /// Headers they may read.
    pub expose_headers: Vec<String>,
    /// How long an answer to a preflight holds.
    pub max_age: Option<Duration>,
    /// Whether they may send credentials.
    pub allow_credentials: Option<bool>,
    /// Pass preflights of other origins on to the destination.
    pub forward_unmatched_preflights: bool,
}

/// Changes to headers. Names are as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Set on requests, replacing what is there.
    pub request_set: Vec<(String, String)>,
    /// Added to requests beside what is there.
    pub request_add: Vec<(String, String)>,
    /// Removed from requests.
    pub request_remove: Vec<String>,
    /// Set on responses, replacing what is there.
    pub response_set: Vec<(String, String)>,
    /// Added to responses beside what is there.
    pub response_add: Vec<(String, String)>,
    /// Removed from responses.
    pub response_remove: Vec<String>,
}

impl HttpRule {
    /// Whether it matches every request: no rule after it has an effect.
    pub fn is_catch_all(&self) -> bool {
        self.matches.is_empty() || self.matches.iter().any(HttpMatch::is_catch_all)
    }
}

impl HttpMatch {
    /// Whether it matches every request of every client.
    pub fn is_catch_all(&self) -> bool {
        let any_path = self.path.as_ref().is_none_or(|path| match &path.pattern {
            Pattern::Prefix(prefix) => prefix == "/",
            Pattern::Regex(regex) => regex == ".*" || regex == "*",
            _ => false,
        });
        any_path
            && self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.query.is_empty()
            && self.claims.is_empty()
            && self.scheme.is_none()
            && self.method.is_none()
            && self.authority.is_none()
            && self.port.is_none()
            && self.client == ClientMatch::default()
    }
}

//! The decision tree as values.

use std::net::{IpAddr, SocketAddr};

use mesh_core::dataplane::{Direction, Name, Origin};
use serde::Serialize;

use super::Decision;
use crate::Capture;

/// Everything one proxy decided about one connection or request, in the order in which it did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The listener that took it; none if there is none.
    pub listener: Option<ListenerStep>,
    /// The chain that serves it; none before one was chosen.
    pub chain: Option<ChainChoice>,
    /// What the chain's filters on connections said.
    pub network: Vec<FilterStep>,
    /// What became of the request, where one was read.
    pub http: Option<HttpStep>,
    /// Where it goes, where it goes on.
    pub sent: Option<SentStep>,
    /// What came out.
    pub decision: Decision,
}

/// The choice of a listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListenerStep {
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub address: SocketAddr,
    /// Which way its traffic flows.
    pub direction: Direction,
    /// Why this one.
    pub why: Capture,
    /// The listener that accepted the connection, where it handed it over.
    pub accepted_by: Option<Name>,
}

/// The choice of a chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainChoice {
    /// Its name, perhaps empty; none if no chain serves the connection.
    pub chosen: Option<Name>,
    /// Whether it is the one for what nothing else matches.
    pub is_default: bool,
    /// The others, and at which step each fell behind.
    pub rejected: Vec<RejectedChain>,
    /// What was seen of the connection: what it looks like, SNI, ALPN.
    pub seen: String,
    /// The chain ends TLS.
    pub ends_tls: bool,
    /// The identity the caller proved.
    pub peer: Option<String>,
}

/// A chain that does not serve the connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedChain {
    /// Its name, perhaps empty.
    pub name: Name,
    /// The first step at which it fell behind, and how.
    pub because: String,
}

/// A filter, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterStep {
    /// What it is.
    pub filter: String,
    /// What it said.
    pub verdict: String,
    /// The policies it asked, in order.
    pub policies: Vec<PolicyStep>,
    /// Whether the engine knows the filter; one that it does not is only named here.
    pub supported: bool,
}

/// A policy, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyStep {
    /// Its id, as in `ns[default]-policy[deny-all]-rule[0]`.
    pub name: Name,
    /// The resource and rule that asked for it.
    pub origin: Option<Origin>,
    /// Whether it matches.
    pub matches: bool,
    /// The first of its clauses that fails.
    pub because: Option<String>,
    /// It only tells what it would have done.
    pub on_trial: bool,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpStep {
    /// The request line as it was judged, path in one spelling.
    pub request: String,
    /// The path as it came, if that was another spelling.
    pub path_before: Option<String>,
    /// The caller's address by trusted hops.
    pub remote: IpAddr,
    /// The choice of a route.
    pub route: Option<RouteStep>,
    /// What each filter said, in order.
    pub filters: Vec<FilterStep>,
    /// What was injected on purpose.
    pub fault: Option<FaultStep>,
}

/// The choice of a route.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteStep {
    /// The table.
    pub table: Name,
    /// The host that was looked up.
    pub authority: String,
    /// The virtual host, if one is for that host.
    pub virtual_host: Option<Name>,
    /// Which of its domains matched.
    pub domain: Option<String>,
    /// Rules that were tried and did not match, in order.
    pub rejected: Vec<RejectedRule>,
    /// The rule that decided.
    pub chosen: Option<ChosenRule>,
}

/// A rule that did not match.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedRule {
    /// Its name, perhaps empty.
    pub name: Name,
    /// The resource and rule that asked for it.
    pub origin: Option<Origin>,
    /// The first condition that is not met, and what was found instead.
    pub because: String,
}

/// The rule that decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChosenRule {
    /// Its name, perhaps empty.
    pub name: Name,
    /// The resource and rule that asked for it.
    pub origin: Option<Origin>,
    /// What it does.
    pub action: String,
}

/// What was injected on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FaultStep {
    /// How long the request waits, in milliseconds.
    pub delay_ms: Option<u64>,
    /// The HTTP status it is answered with.
    pub abort: Option<u16>,
    /// The gRPC status it is answered with.
    pub abort_grpc: Option<u32>,
}

/// Where something goes, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentStep {
    /// The resource and rule that sent it there.
    pub rule: Option<Origin>,
    /// What was chosen among, with weights; one entry where there is no choice.
    pub shares: Vec<Share>,
    /// The cluster that was chosen.
    pub cluster: Name,
    /// The service it stands for and the port callers use.
    pub destination: Option<String>,
    /// Its subset, perhaps empty.
    pub subset: String,
    /// The DestinationRule in effect.
    pub policy: Option<Origin>,
    /// How an instance is chosen.
    pub balancing: String,
    /// The instances, in order.
    pub candidates: Vec<Candidate>,
    /// The instance that was picked.
    pub endpoint: Option<EndpointStep>,
    /// The request as it leaves, where it is one.
    pub request: Option<SentRequest>,
    /// The limit on the whole request, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// When it is tried again.
    pub retries: Option<RetryStep>,
    /// Copies that are made of such requests.
    pub mirrors: Vec<CopyStep>,
    /// Headers of the answer that this proxy adds or changes; a removed one has no value.
    pub response_headers: Vec<(String, Option<String>)>,
}

/// A part of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// The cluster.
    pub cluster: Name,
    /// The service it stands for and the port callers use.
    pub destination: Option<String>,
    /// Its subset, perhaps empty.
    pub subset: String,
    /// Its weight.
    pub weight: u32,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Where it is called.
    pub address: String,
    /// Zero is used first.
    pub priority: u32,
    /// Region, zone and sub-zone, separated by slashes.
    pub locality: String,
    /// Whether it may be picked as things stand.
    pub in_use: bool,
    /// Why not.
    pub because: Option<&'static str>,
    /// What runs there.
    pub workload: Option<String>,
}

/// The instance that was picked, and how it is called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointStep {
    /// Where it is called.
    pub address: String,
    /// What runs there.
    pub workload: Option<String>,
    /// TLS; none for clear text.
    pub tls: Option<TlsStep>,
}

/// How TLS is begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsStep {
    /// The entry of the plan that says so, such as `tlsMode-istio`; empty where all are alike.
    pub by: Name,
    /// With a certificate of our own: mutual TLS.
    pub mutual: bool,
    /// That certificate is the workload's own identity.
    pub own_identity: bool,
    /// The name asked for.
    pub server_name: Option<String>,
    /// The protocols offered.
    pub alpn: Vec<String>,
    /// Names of which the instance must prove one; none accepts any that the roots vouch for.
    pub expected_names: Vec<String>,
    /// Whether the instance's certificate is checked at all.
    pub verified: bool,
}

/// A request as it leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The host that the destination is asked for.
    pub authority: String,
    /// It travels as HTTP/2.
    pub http2: bool,
    /// The headers that this proxy added or changed; a removed one has no value.
    pub edits: Vec<(String, Option<String>)>,
    /// Every header.
    #[serde(skip)]
    pub headers: http::HeaderMap,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetryStep {
    /// How often at most, beside the first time.
    pub attempts: u32,
    /// How long one attempt may take, in milliseconds.
    pub per_try_timeout_ms: Option<u64>,
    /// Conditions.
    pub retry_on: Vec<String>,
}

/// A copy of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyStep {
    /// Where it goes.
    pub cluster: Name,
    /// Of how many in a million requests.
    pub per_million: u32,
    /// Whether one is made of this request.
    pub chosen: bool,
}

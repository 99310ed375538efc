use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    AccessLog, AccessRules, ConnectionAuthz, ExtAuthzFilter, JwtFilter, MetricSettings, Name,
    Origin, RateLimitFilter, RouteTable, Tracing, WeightedCluster, human,
};

/// What happens to a connection before its chain ends it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkFilter {
    /// Decide whether the caller may connect.
    Rbac(RbacFilter),
    /// Ask somebody whether the caller may connect.
    ExtAuthz(ConnectionAuthz),
}

/// Pass bytes on to a cluster (`envoy.filters.network.tcp_proxy`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TcpProxy {
    /// Prefix of its counters.
    pub stat_prefix: Name,
    /// Where to, by weight; one entry for a fixed destination.
    pub clusters: Vec<WeightedCluster>,
    /// Close a connection that carried nothing for so long; none never does.
    #[serde(serialize_with = "human::optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// Ask the destination, a proxy, to connect further.
    pub tunnel: Option<Tunnel>,
    /// Keep connections from one address on one instance, where the cluster hashes.
    pub hash_source: bool,
    /// One line per connection.
    pub access_log: Vec<AccessLog>,
    /// The resource that asked for this.
    pub origin: Option<Origin>,
}

/// A connection within an HTTP one to a proxy, which connects to the target (RFC 9110, section
/// 9.3.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tunnel {
    /// The target, `host:port`.
    pub target: String,
    /// Ask with POST rather than with CONNECT.
    pub by_post: bool,
}

/// Take requests out of a connection and route them
/// (`envoy.filters.network.http_connection_manager`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpConnectionManager {
    /// Prefix of its counters.
    pub stat_prefix: Name,
    /// What the connection speaks.
    pub codec: HttpCodec,
    /// How requests find their route.
    pub routes: RouteSource,
    /// What happens to a request on its way, in order. The router comes last and is implied.
    pub filters: Vec<HttpFilter>,
    /// One line per request.
    pub access_log: Vec<AccessLog>,
    /// The `server` header's value.
    pub server_name: Name,
    /// What becomes of a `server` header from upstream.
    pub server_header: ServerHeader,
    /// What becomes of `x-forwarded-client-cert`.
    pub forward_client_cert: ForwardClientCert,
    /// Trust the connection's address rather than `x-forwarded-for`: an edge does.
    pub use_remote_address: bool,
    /// How many trusted proxies stand before this one.
    pub trusted_hops: u32,
    /// Normalise paths by RFC 3986 before routing.
    pub normalize_path: bool,
    /// Take `//` for `/`.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C` in paths.
    pub escaped_slashes: EscapedSlashes,
    /// Protocols a request may upgrade to, such as `websocket`.
    pub upgrades: Vec<String>,
    /// Make an `x-request-id` where there is none.
    pub generate_request_id: bool,
    /// Keep an `x-request-id` from outside the mesh.
    pub preserve_external_request_id: bool,
    /// Reset a stream on which nothing moved for so long; none never does.
    #[serde(serialize_with = "human::optional_duration")]
    pub stream_idle_timeout: Option<Duration>,
    /// How long a request's headers may take to arrive; none has no limit.
    #[serde(serialize_with = "human::optional_duration")]
    pub request_headers_timeout: Option<Duration>,
    /// Close a connection without requests after so long; none keeps Envoy's hour.
    #[serde(serialize_with = "human::optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// The most request headers may take, in KiB; none keeps Envoy's 60.
    pub max_request_headers_kb: Option<u32>,
    /// The most streams of one HTTP/2 connection at once; none keeps ours.
    pub max_concurrent_streams: Option<u32>,
    /// Spans, if any.
    pub tracing: Option<Tracing>,
}

/// What an HTTP connection speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpCodec {
    /// Found out from ALPN, else from the first bytes.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// How requests find their route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteSource {
    /// A table of the snapshot, by name (RDS).
    Named(Name),
    /// A table of its own.
    Inline(Arc<RouteTable>),
}

/// What happens to a request on its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpFilter {
    /// Tell the other side who we are and learn who it is (Istio's metadata exchange).
    PeerMetadata,
    /// Verify the tokens that requests bring.
    JwtAuthn(JwtFilter),
    /// Decide whether the caller may do this.
    Rbac(RbacFilter),
    /// Ask somebody whether the caller may do this.
    ExtAuthz(Box<ExtAuthzFilter>),
    /// Inject the faults that routes ask for.
    Fault,
    /// Answer preflights and mark responses as routes' CORS policies ask.
    Cors,
    /// Count gRPC messages.
    GrpcStats,
    /// Istio's standard metrics.
    IstioStats,
    /// Istio's standard metrics, changed like this.
    ChangedStats(MetricSettings),
    /// Decide how many requests pass.
    RateLimit(RateLimitFilter),
    /// Offer Istio's ALPN names upstream.
    IstioAlpn,
}

/// Rules on who may do what, and rules that only tell what they would have done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RbacFilter {
    /// Rules in force; without any, everything passes.
    pub rules: Option<AccessRules>,
    /// Rules on trial.
    pub shadow_rules: Option<AccessRules>,
    /// Prefix of the trial's counters.
    pub shadow_stat_prefix: String,
}

/// What becomes of a `server` header from upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerHeader {
    /// Replace it.
    #[default]
    Overwrite,
    /// Set it where there is none.
    AppendIfAbsent,
    /// Leave it.
    PassThrough,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardClientCert {
    /// Remove it.
    #[default]
    Sanitize,
    /// Pass it on over mutual TLS, remove it otherwise.
    ForwardOnly,
    /// Add the caller's certificate to it over mutual TLS, remove it otherwise.
    AppendForward,
    /// Replace it by the caller's certificate over mutual TLS, remove it otherwise.
    SanitizeSet,
    /// Pass it on.
    AlwaysForwardOnly,
}

/// What becomes of `%2F` and `%5C` in paths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSlashes {
    /// Nothing.
    #[default]
    Keep,
    /// The request is refused with 400.
    Reject,
    /// The caller is redirected to the unescaped path.
    UnescapeAndRedirect,
    /// They become slashes.
    UnescapeAndForward,
}

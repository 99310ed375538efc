use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;

use super::{ClientTls, EndpointSet, Fraction, Name, Origin, human};
use crate::name::Labels;

/// A destination: how its instances are found, chosen, called and protected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cluster {
    /// Unique name; Istio's is `outbound|<port>|<subset>|<fqdn>`.
    pub name: Name,
    /// How its instances are found.
    pub discovery: Discovery,
    /// How long a connection may take to open.
    #[serde(serialize_with = "human::duration")]
    pub connect_timeout: Duration,
    /// How one instance is chosen.
    pub balancing: Balancing,
    /// Places take the shares of their weights; else all instances of one priority are alike.
    pub by_locality: bool,
    /// Instances that have just come get little at first.
    pub slow_start: Option<SlowStart>,
    /// The most it is given at once.
    pub limits: CircuitLimits,
    /// When an instance is left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// Below this percentage of healthy instances, all are used; zero never does.
    pub panic_threshold: u8,
    /// How connections are protected.
    pub tls: UpstreamTls,
    /// What instances speak.
    pub protocol: UpstreamProtocol,
    /// The address connections come from.
    pub bind_source: Option<IpAddr>,
    /// Close a connection that carried nothing for so long; none keeps Envoy's hour.
    #[serde(serialize_with = "human::optional_duration")]
    pub idle_timeout: Option<Duration>,
    /// Close a connection after so many requests; none has no limit.
    pub max_requests_per_connection: Option<u32>,
    /// Close a connection after so long; none has no limit.
    #[serde(serialize_with = "human::optional_duration")]
    pub max_connection_duration: Option<Duration>,
    /// Requests at once on one HTTP/2 connection; none keeps what the instance allows.
    pub max_concurrent_streams: Option<u32>,
    /// Pings on HTTP/2 connections.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Probes on silent connections; none sends none.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Instances are told who calls, before anything else.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Which service it is, for telemetry.
    pub metadata: ClusterMetadata,
}

/// How a cluster's instances are found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discovery {
    /// The control plane tells them, under this name (EDS).
    Told(Name),
    /// They are fixed.
    Static(EndpointSet),
    /// DNS tells them: every address is an instance (`STRICT_DNS`).
    StrictDns(DnsDiscovery),
    /// DNS tells one at a time (`LOGICAL_DNS`).
    LogicalDns(DnsDiscovery),
    /// The caller told (`ORIGINAL_DST`).
    OriginalDestination(OriginalDestination),
}

/// Instances behind DNS names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DnsDiscovery {
    /// Names and ports to resolve.
    pub endpoints: EndpointSet,
    /// How often at least; answers' own lifetimes may be shorter.
    #[serde(serialize_with = "human::duration")]
    pub refresh: Duration,
    /// Look again when the answer's lifetime is over.
    pub respect_ttl: bool,
}

/// Instances the caller told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OriginalDestination {
    /// Call this port instead.
    pub port_override: Option<u16>,
    /// A header that tells the address, trusted only where configured.
    pub header: Option<String>,
}

/// How one instance is chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balancing {
    /// In turn.
    RoundRobin,
    /// The less busy of `choices` drawn.
    LeastRequest {
        /// How many are drawn.
        choices: u32,
    },
    /// Any.
    Random,
    /// The same for the same hash, by a ring.
    RingHash(HashTable),
    /// The same for the same hash, by Google's Maglev table.
    Maglev(HashTable),
    /// The cluster's discovery says so.
    Provided,
}

/// The size of a hash table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HashTable {
    /// At least so many slots in a ring, or exactly so many (a prime) in a Maglev table.
    pub size: u64,
}

/// The most a cluster is given at once (Envoy's circuit breakers). None means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CircuitLimits {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Requests waiting for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Retries under way, where there is no budget.
    pub max_retries: Option<u32>,
    /// Retries as a part of what is under way.
    pub retry_budget: Option<RetryBudget>,
}

/// Retries as a part of the requests under way and waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetryBudget {
    /// The part.
    pub share: Fraction,
    /// So many there may always be.
    pub min_concurrency: u32,
}

/// Instances that have just come get little at first: their weight times the larger of `start` and
/// `(age / window) ^ (1 / aggression)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SlowStart {
    /// How long until they get their full share.
    #[serde(serialize_with = "human::duration")]
    pub window: Duration,
    /// In thousandths; a thousand grows evenly.
    pub aggression: u32,
    /// The least part of its weight that counts.
    pub start: Fraction,
}

/// Pings that find out whether a connection still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Http2Keepalive {
    /// How often.
    #[serde(serialize_with = "human::duration")]
    pub interval: Duration,
    /// How long an answer is waited for.
    #[serde(serialize_with = "human::duration")]
    pub timeout: Duration,
}

/// Probes that find out whether a silent connection still works. None keeps the system's. In whole
/// seconds, as the system counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TcpKeepalive {
    /// How many go unanswered before the connection is dead.
    pub probes: Option<u32>,
    /// How long it must be silent before the first.
    #[serde(serialize_with = "human::optional_duration")]
    pub time: Option<Duration>,
    /// How long between two.
    #[serde(serialize_with = "human::optional_duration")]
    pub interval: Option<Duration>,
}

/// The form of a PROXY protocol header (HAProxy's specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// When an instance is left out for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OutlierDetection {
    /// After so many 5xx in a row; zero never.
    pub consecutive_5xx: u32,
    /// After so many 502, 503 or 504 in a row; zero never.
    pub consecutive_gateway_errors: u32,
    /// After so many failures to connect in a row, where counted apart.
    pub consecutive_local_origin_failures: u32,
    /// Count failures to connect apart from answers.
    pub split_local_origin: bool,
    /// How often instances are looked at.
    #[serde(serialize_with = "human::duration")]
    pub interval: Duration,
    /// How long the first time; the n-th time n times as long.
    #[serde(serialize_with = "human::duration")]
    pub base_ejection: Duration,
    /// The largest percentage left out.
    pub max_ejection_percent: u8,
}

/// How connections to instances are protected.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamTls {
    /// Not at all.
    #[default]
    Off,
    /// All alike.
    Always(ClientTls),
    /// By instance: the first entry whose labels the instance carries (auto mTLS).
    ByEndpoint(Vec<TlsMatch>),
}

/// Protection for instances that carry certain labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TlsMatch {
    /// Istio's are `tlsMode-istio` and `tlsMode-disabled`.
    pub name: Name,
    /// The labels; none means every instance.
    pub labels: Labels,
    /// TLS, or plain text.
    pub tls: Option<ClientTls>,
}

/// What instances speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// Whatever the caller speaks.
    UseDownstream,
}

/// Which service a cluster is, for telemetry and explanations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ClusterMetadata {
    /// The services it stands for.
    pub services: Vec<ServiceRef>,
    /// The subset, perhaps empty.
    pub subset: String,
    /// The DestinationRule in effect.
    pub origin: Option<Origin>,
    /// Offer Istio's ALPN names: not for clusters whose TLS the user configured.
    pub istio_alpn: bool,
}

/// A service by its names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ServiceRef {
    /// Full host name.
    pub host: Name,
    /// Short name.
    pub name: Name,
    /// Namespace.
    pub namespace: Name,
}

impl Cluster {
    /// Envoy's limit on keeping a connection that carries nothing.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
    /// Istio's limit on opening a connection.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A cluster with Istio's defaults.
    pub fn new(name: impl Into<Name>, discovery: Discovery) -> Self {
        Self {
            name: name.into(),
            discovery,
            connect_timeout: Self::CONNECT_TIMEOUT,
            balancing: Balancing::LeastRequest { choices: 2 },
            by_locality: false,
            slow_start: None,
            limits: CircuitLimits::default(),
            outlier: None,
            panic_threshold: 0,
            tls: UpstreamTls::Off,
            protocol: UpstreamProtocol::Http1,
            bind_source: None,
            idle_timeout: None,
            max_requests_per_connection: None,
            max_connection_duration: None,
            max_concurrent_streams: None,
            http2_keepalive: None,
            tcp_keepalive: None,
            proxy_protocol: None,
            metadata: ClusterMetadata::default(),
        }
    }

    /// The endpoint set it asks the control plane for.
    pub fn endpoints_name(&self) -> Option<&Name> {
        match &self.discovery {
            Discovery::Told(name) => Some(name),
            _ => None,
        }
    }
}

impl OriginalDestination {
    /// Where to call for a connection that meant `destination`.
    pub fn address(&self, destination: SocketAddr) -> SocketAddr {
        SocketAddr::new(
            destination.ip(),
            self.port_override.unwrap_or_else(|| destination.port()),
        )
    }
}

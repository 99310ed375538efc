//! How services are called: what DestinationRules mean.

mod load;
mod lower;

pub use load::{
    Balancing, Distribution, HashKey, HashTable, LoadPolicy, LocalityLabel, LocalityPolicy, Place,
    RegionFailover, Warmup,
};
pub(super) use lower::{
    destination_policy, keepalive, locality_policy, outlier, pool, zone_aware_policy,
};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Exports, PerMillion};
use crate::{
    config::Source,
    name::{Host, ResourceRef, Selector},
};

/// What a DestinationRule means: how a service, its ports and its subsets are called.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationPolicy {
    /// The DestinationRule.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The service, in full; may be a wildcard.
    pub host: Host,
    /// Who sees it.
    pub exports: Exports,
    /// Only for callers with these labels, of the rule's own namespace.
    pub clients: Option<Selector>,
    /// Subsets, by name.
    pub subsets: BTreeMap<Arc<str>, Subset>,
    policy: PortPolicies,
}

/// Instances that carry certain labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Subset {
    /// The labels.
    pub labels: Selector,
    policy: PortPolicies,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct PortPolicies {
    every: CallPolicy,
    ports: BTreeMap<u16, CallPolicy>,
}

/// How instances are chosen, called and protected. What is not given keeps the mesh's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallPolicy {
    /// How an instance is chosen.
    pub load: Option<LoadPolicy>,
    /// The most they are given at once.
    pub pool: Option<ConnectionPool>,
    /// When an instance is left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// How connections are protected.
    pub tls: Option<ClientTls>,
    /// Connections are carried within another.
    pub tunnel: Option<Tunnel>,
    /// Instances are told who calls.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many retries there may be.
    pub retry_budget: Option<RetryBudget>,
}

/// Connections are carried within another to a proxy, which connects to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Ask with POST rather than with CONNECT.
    pub by_post: bool,
    /// Where the proxy connects to.
    pub host: Arc<str>,
    /// At which port.
    pub port: u16,
}

/// The form of a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// How many retries there may be beside the requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Their share of the requests under way and waiting.
    pub share: PerMillion,
    /// So many there may always be.
    pub min_concurrency: u32,
}

/// Istio's: a fifth, and three.
impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            share: PerMillion::percent(20.0).unwrap_or_default(),
            min_concurrency: 3,
        }
    }
}

/// The most a destination is given at once. None has no limit, or keeps the mesh's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionPool {
    /// Connections.
    pub max_connections: Option<u32>,
    /// How long a connection may take to open.
    pub connect_timeout: Option<Duration>,
    /// Requests waiting for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Requests of one connection.
    pub max_requests_per_connection: Option<u32>,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// How long a connection may carry no request.
    pub http_idle_timeout: Option<Duration>,
    /// How long a connection may carry nothing.
    pub tcp_idle_timeout: Option<Duration>,
    /// Whether HTTP/1.1 is carried over HTTP/2; none for the mesh's default, which is no.
    pub upgrade_to_http2: Option<bool>,
    /// Call instances in the protocol the caller speaks.
    pub use_client_protocol: bool,
    /// Requests at once on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// Pings on HTTP/2 connections.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// How long a connection may live.
    pub max_connection_duration: Option<Duration>,
    /// Probes on silent connections.
    pub keepalive: Option<TcpKeepalive>,
}

/// Pings that find out whether a connection still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// How often.
    pub interval: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// Probes that find out whether a silent connection still works. None keeps the system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// How many go unanswered before the connection is dead.
    pub probes: Option<u32>,
    /// How long it must be silent before the first.
    pub time: Option<Duration>,
    /// How long between two.
    pub interval: Option<Duration>,
}

/// When an instance is left out for a while. None keeps Envoy's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutlierDetection {
    /// After so many 5xx in a row; zero never.
    pub consecutive_5xx: Option<u32>,
    /// After so many 502, 503 or 504 in a row; zero never.
    pub consecutive_gateway_errors: Option<u32>,
    /// Count failures to connect apart.
    pub split_local_origin: bool,
    /// After so many failures to connect in a row.
    pub consecutive_local_origin_failures: Option<u32>,
    /// How often instances are looked at.
    pub interval: Option<Duration>,
    /// How long the first time.
    pub base_ejection: Option<Duration>,
    /// The largest percentage left out.
    pub max_ejection_percent: Option<u8>,
    /// Below this percentage of healthy instances all are called; zero never.
    pub min_health_percent: u8,
}

/// How connections to instances are protected.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientTls {
    /// Not at all.
    Off,
    /// Mutual TLS with the workload's own identity (`ISTIO_MUTUAL`).
    Mesh(TlsNames),
    /// TLS that the user configured.
    Own {
        /// The certificate to show, if any.
        certificate: Option<Certificate>,
        /// The roots to trust; none for those of the system.
        roots: Option<Roots>,
        /// Names.
        names: TlsNames,
        /// Accept any certificate.
        insecure: bool,
    },
}

/// The names of a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsNames {
    /// The server name to ask for; none for the default.
    pub sni: Option<String>,
    /// Names of which the server's certificate must carry one; none for the default.
    pub subject_alt_names: Vec<String>,
}

/// Where a certificate and its key come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// A Kubernetes Secret in the namespace of the proxy.
    Credential(String),
    /// Files beside the proxy.
    Files {
        /// PEM certificates, leaf first.
        certificate: String,
        /// PEM key.
        key: String,
    },
}

/// Where roots come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// A Kubernetes Secret in the namespace of the proxy.
    Credential(String),
    /// A file beside the proxy.
    File(String),
    /// PEM certificates, as a ConfigMap or a Secret holds them.
    Inline(String),
}

impl DestinationPolicy {
    /// How a port is called, of the whole service or of a subset.
    ///
    /// A subset changes what it gives itself. Settings of a port replace how instances are chosen,
    /// called, spared and protected, without inheriting; the rest a port cannot say (Istio's API,
    /// `portLevelSettings`).
    pub fn policy(&self, port: u16, subset: Option<&str>) -> CallPolicy {
        let base = self.policy.at(port, &CallPolicy::default());
        match subset.and_then(|name| self.subsets.get(name)) {
            Some(subset) => subset.policy.at(port, &base),
            None => base,
        }
    }

    /// Whether another rule is for the same host, callers and readers.
    pub(super) fn joins(&self, other: &Self) -> bool {
        self.host == other.host && self.clients == other.clients && self.exports == other.exports
    }

    /// Takes over what a younger rule for the same host has beside this one: subsets of other names,
    /// and, where this one gives none at all, its policy for the whole.
    pub(super) fn merge(&mut self, younger: &Self) {
        for (name, subset) in &younger.subsets {
            if !self.subsets.contains_key(name) {
                self.subsets.insert(name.clone(), subset.clone());
            }
        }
        if !self.has_policy() {
            self.policy = younger.policy.clone();
        }
    }

    /// The labels of callers by which instances are near, of any port and subset.
    pub(super) fn labels_of_callers(&self) -> impl Iterator<Item = &str> {
        let subsets = self.subsets.values().map(|subset| &subset.policy);
        let each = std::iter::once(&self.policy).chain(subsets);
        let each = each.flat_map(|policy| policy.ports.values().chain([&policy.every]));
        each.filter_map(|policy| policy.load.as_ref()?.locality.as_ref())
            .flat_map(LocalityPolicy::labels_of_callers)
    }

    /// Whether it says anything about the service as a whole.
    pub(super) fn has_policy(&self) -> bool {
        self.policy != PortPolicies::default()
    }
}

impl PortPolicies {
    fn at(&self, port: u16, base: &CallPolicy) -> CallPolicy {
        let merged = self.every.over(base);
        match self.ports.get(&port) {
            Some(settings) => CallPolicy {
                load: settings.load.clone(),
                pool: settings.pool.clone(),
                outlier: settings.outlier.clone(),
                tls: settings.tls.clone(),
                ..merged
            },
            None => merged,
        }
    }
}

impl CallPolicy {
    /// How an instance is chosen, if anything is said about it.
    pub fn balancing(&self) -> Option<&Balancing> {
        self.load.as_ref()?.choice.as_ref()
    }

    fn over(&self, base: &Self) -> Self {
        Self {
            load: self.load.clone().or_else(|| base.load.clone()),
            pool: self.pool.clone().or_else(|| base.pool.clone()),
            outlier: self.outlier.clone().or_else(|| base.outlier.clone()),
            tls: self.tls.clone().or_else(|| base.tls.clone()),
            tunnel: self.tunnel.clone().or_else(|| base.tunnel.clone()),
            proxy_protocol: self.proxy_protocol.or(base.proxy_protocol),
            retry_budget: self.retry_budget.or(base.retry_budget),
        }
    }
}

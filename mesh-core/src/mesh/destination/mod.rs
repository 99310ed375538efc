//! How services are called: what DestinationRules mean.

mod lower;

pub(super) use lower::{destination_policy, pool};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::Exports;
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
    pub balancing: Option<Balancing>,
    /// The most they are given at once.
    pub pool: Option<ConnectionPool>,
    /// When an instance is left out for a while.
    pub outlier: Option<OutlierDetection>,
    /// How connections are protected.
    pub tls: Option<ClientTls>,
}

/// How an instance is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Balancing {
    /// Any.
    Random,
    /// In turn.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
    /// The one the caller meant.
    Passthrough,
    /// The same for the same key.
    Hash {
        /// What requests must have in common.
        key: HashKey,
        /// How keys are assigned.
        table: HashTable,
    },
}

/// What requests must have in common to go to the same instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value.
    Header(String),
    /// A cookie's value.
    Cookie {
        /// The cookie's name.
        name: String,
        /// Its path, perhaps empty.
        path: String,
        /// Its lifetime, if the proxy is to make one.
        ttl: Option<Duration>,
    },
    /// The caller's address.
    SourceIp,
    /// A query parameter's value.
    QueryParameter(String),
}

/// How keys are assigned to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// By a ring with at least so many slots.
    Ring(u64),
    /// By a Maglev table of this size, a prime.
    Maglev(u64),
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
    /// A subset changes what it gives itself; settings of a port replace all others, without
    /// inheriting (Istio's API, `portLevelSettings`).
    pub fn policy(&self, port: u16, subset: Option<&str>) -> CallPolicy {
        let base = self.policy.ports.get(&port).unwrap_or(&self.policy.every);
        let Some(subset) = subset.and_then(|name| self.subsets.get(name)) else {
            return base.clone();
        };
        match subset.policy.ports.get(&port) {
            Some(settings) => settings.clone(),
            None => subset.policy.every.over(base),
        }
    }
}

impl CallPolicy {
    fn over(&self, base: &Self) -> Self {
        Self {
            balancing: self.balancing.clone().or_else(|| base.balancing.clone()),
            pool: self.pool.clone().or_else(|| base.pool.clone()),
            outlier: self.outlier.clone().or_else(|| base.outlier.clone()),
            tls: self.tls.clone().or_else(|| base.tls.clone()),
        }
    }
}

use std::{fmt, net::SocketAddr};

use serde::{Serialize, Serializer};

use super::Name;
use crate::name::{Labels, Locality};

/// The instances of a destination, by locality.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EndpointSet {
    /// The name clusters ask for it by.
    pub name: Name,
    /// Groups of instances in one place and of one priority.
    pub localities: Vec<LocalityEndpoints>,
}

/// Instances in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LocalityEndpoints {
    /// The place.
    pub locality: Locality,
    /// Its share among places of one priority.
    pub weight: u32,
    /// Zero is used first.
    pub priority: u32,
    /// Its instances.
    pub endpoints: Vec<Endpoint>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Where it is called.
    pub address: EndpointAddress,
    /// Its share among its neighbours, at least one.
    pub weight: u32,
    /// Whether to call it.
    pub health: EndpointHealth,
    /// What decides its protection: Istio's is `tlsMode: istio`.
    pub tls_labels: Labels,
    /// What it runs, for telemetry.
    pub workload: Option<WorkloadTag>,
}

/// Where an instance is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// An address.
    Socket(SocketAddr),
    /// A name to resolve, and a port.
    Dns(String, u16),
}

/// Whether to call an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointHealth {
    /// Nothing speaks against it.
    #[default]
    Healthy,
    /// It is not ready.
    Unhealthy,
    /// It is going away.
    Draining,
}

/// What an instance runs. Travels as Istio's `workload;namespace;name;revision;cluster`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct WorkloadTag {
    /// The owner's name, such as a Deployment's.
    pub workload: Name,
    /// Namespace.
    pub namespace: Name,
    /// Canonical service name.
    pub canonical_name: Name,
    /// Canonical revision.
    pub canonical_revision: Name,
    /// The cluster it runs in.
    pub cluster: Name,
}

impl EndpointSet {
    /// One instance at an address, for clusters that need no more.
    pub fn single(name: impl Into<Name>, address: SocketAddr) -> Self {
        let endpoints = vec![Endpoint::at(address)];
        let here = LocalityEndpoints {
            weight: 1,
            endpoints,
            ..Default::default()
        };
        Self {
            name: name.into(),
            localities: vec![here],
        }
    }

    /// Every instance.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.localities
            .iter()
            .flat_map(|locality| &locality.endpoints)
    }
}

impl Endpoint {
    /// An instance of which only the address is known.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address: EndpointAddress::Socket(address),
            weight: 1,
            health: EndpointHealth::Healthy,
            tls_labels: Labels::default(),
            workload: None,
        }
    }
}

impl WorkloadTag {
    /// Reads Istio's text form; none if it does not have five parts.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(Name::from);
        let tag = Self {
            workload: parts.next()?,
            namespace: parts.next()?,
            canonical_name: parts.next()?,
            canonical_revision: parts.next()?,
            cluster: parts.next()?,
        };
        parts.next().is_none().then_some(tag)
    }
}

impl fmt::Display for WorkloadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workload,
            namespace,
            canonical_name,
            canonical_revision,
            cluster,
        } = self;
        write!(
            f,
            "{workload};{namespace};{canonical_name};{canonical_revision};{cluster}"
        )
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => fmt::Display::fmt(address, f),
            Self::Dns(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl Serialize for EndpointAddress {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

//! What a workload's proxy may see: what Sidecars mean.

mod lower;

pub(super) use lower::{outbound_mode, sidecar_scope};

use std::{net::IpAddr, sync::Arc};

use super::{ConnectionPool, Destination, Service, TrafficRules};
use crate::{
    config::Source,
    name::{Host, NamedPort, ResourceRef, Selector},
};

/// What a workload may see: the services it calls, and what becomes of other calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The Sidecar that says so; none for the mesh's default.
    pub origin: Option<ResourceRef>,
    /// The listeners for what it calls, and what each sees; none for one that sees everything that
    /// is exported to it.
    pub egress: Option<Arc<[EgressListener]>>,
    /// The ports it is called at; none for those that services declare.
    pub ingress: Option<Arc<[IngressListener]>>,
    /// The most the application is given at once, where a port does not say otherwise.
    pub inbound_pool: Option<ConnectionPool>,
    /// What becomes of calls to hosts nobody declared.
    pub outbound: OutboundMode,
    /// Where calls to hosts nobody declared go instead of there.
    pub egress_proxy: Option<Destination>,
}

/// A listener for what a workload calls.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressListener {
    /// Its port; none for the ports of the services it sees, as far as no other listener has them.
    pub port: Option<NamedPort>,
    /// Its address; none for the usual one.
    pub bind: Option<IpAddr>,
    /// Whether connections are captured for it; otherwise the application calls it.
    pub is_captured: bool,
    /// The services it sees.
    pub hosts: Vec<EgressHost>,
    /// Of these, those that it does not.
    pub excluded: Vec<EgressHost>,
}

/// A port that a workload is called at.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressListener {
    /// Its place in the Sidecar, for explanations: `spec.ingress[0]`.
    pub field: String,
    /// The port and what it speaks.
    pub port: NamedPort,
    /// Its address; none for the usual one.
    pub bind: Option<IpAddr>,
    /// Whether connections are captured for it; otherwise callers call it.
    pub is_captured: bool,
    /// Where the application listens.
    pub endpoint: IngressEndpoint,
    /// The most it is given at once.
    pub pool: Option<ConnectionPool>,
}

/// Where the application behind a port listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngressEndpoint {
    /// Where the caller meant it to be.
    AsCalled,
    /// At this port of the loopback address.
    Loopback(u16),
    /// At this port of the workload's own address.
    Workload(u16),
}

/// What becomes of calls to hosts nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum OutboundMode {
    /// They pass.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// Hosts of one namespace or of any.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressHost {
    /// Of which namespace.
    pub namespace: EgressNamespace,
    /// Which hosts.
    pub host: Host,
}

/// The namespace of an egress host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressNamespace {
    /// Any (`*`).
    Any,
    /// This one.
    Only(Arc<str>),
}

/// What a Sidecar means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SidecarScope {
    pub(super) reference: ResourceRef,
    pub(super) source: Source,
    pub(super) selector: Option<Selector>,
    pub(super) egress: Option<Arc<[EgressListener]>>,
    pub(super) ingress: Option<Arc<[IngressListener]>>,
    pub(super) inbound_pool: Option<ConnectionPool>,
    pub(super) outbound: Option<OutboundMode>,
    pub(super) egress_proxy: Option<Destination>,
}

impl Scope {
    /// Whether a service is among those the workload calls.
    pub fn sees(&self, service: &Service) -> bool {
        let listeners = self.egress.as_deref();
        listeners.is_none_or(|listeners| listeners.iter().any(|listener| listener.sees(service)))
    }

    /// Whether rules for a host are among those its calls follow.
    pub fn follows(&self, rules: &TrafficRules, host: &Host) -> bool {
        let listeners = self.egress.as_deref();
        listeners.is_none_or(|all| all.iter().any(|listener| listener.follows(rules, host)))
    }
}

impl EgressListener {
    /// Whether it sees a service.
    pub fn sees(&self, service: &Service) -> bool {
        self.takes(&service.namespace, &service.host)
    }

    /// Whether rules for a host are among those it follows: a Sidecar names the namespaces of rules
    /// as it names those of services.
    pub fn follows(&self, rules: &TrafficRules, host: &Host) -> bool {
        self.takes(&rules.reference.namespace, host)
    }

    fn takes(&self, namespace: &str, host: &Host) -> bool {
        let of = |list: &[EgressHost]| list.iter().any(|hosts| hosts.takes(namespace, host));
        of(&self.hosts) && !of(&self.excluded)
    }
}

impl EgressHost {
    fn takes(&self, namespace: &str, host: &Host) -> bool {
        let here = match &self.namespace {
            EgressNamespace::Any => true,
            EgressNamespace::Only(only) => **only == *namespace,
        };
        here && (self.host.covers(host) || host.covers(&self.host))
    }
}

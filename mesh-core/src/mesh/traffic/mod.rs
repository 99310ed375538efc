//! Where requests go: what VirtualServices mean.

mod delegate;
mod http;
mod l4;
mod lower;

pub(super) use delegate::{Delegate, Draft};
pub use http::{
    Abort, ClaimCondition, CorsPolicy, Delay, DirectResponse, Fault, Forward, HeaderCondition,
    HeaderEdits, HttpAction, HttpMatch, HttpRule, Mirror, PathCondition, PathRewrite, Redirect,
    RedirectPort, RetryPolicy, TextCondition,
};
pub use l4::{L4Match, TcpRule, TlsMatch, TlsRule};
pub(super) use lower::{is_header_name, retry_policy, traffic_rules};

use std::{fmt, sync::Arc};

use super::Exports;
use crate::{
    config::{Source, gateway_api::GatewayApi},
    name::{Host, Labels, ResourceRef, Selector},
};

/// What a VirtualService means: where requests for its hosts go.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRules {
    /// The VirtualService.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The hosts, in full.
    pub hosts: Vec<Host>,
    /// Where the rules are in effect.
    pub gateways: Vec<GatewayName>,
    /// Who sees them.
    pub exports: Exports,
    /// Rules for HTTP requests; the first that matches decides.
    pub http: Vec<HttpRule>,
    /// Rules for TLS connections that are passed on; the first that matches decides.
    pub tls: Vec<TlsRule>,
    /// Rules for other connections; the first that matches decides.
    pub tcp: Vec<TcpRule>,
}

/// Where rules are in effect.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GatewayName {
    /// At every sidecar (`mesh`).
    Mesh,
    /// At this Gateway.
    Named {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

/// Who is about to send a request: the side on which rules are chosen.
#[derive(Debug, Clone, Copy)]
pub enum Client<'a> {
    /// A workload's own proxy.
    Sidecar {
        /// The workload's namespace.
        namespace: &'a str,
        /// The workload's labels.
        labels: &'a Labels,
    },
    /// A proxy at the edge, for what came in by this Gateway.
    Gateway(&'a GatewayName),
}

/// The clients a rule is for, beside where it is in effect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientMatch {
    /// Only what comes in there; empty for everywhere the rules are in effect.
    pub gateways: Vec<GatewayName>,
    /// Labels of the workload that sends.
    pub labels: Selector,
    /// Namespace of the workload that sends.
    pub namespace: Option<Arc<str>>,
}

/// Where a request may go: a service, perhaps a subset of its instances, perhaps a certain port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The service, in full.
    pub host: Host,
    /// The subset, as a DestinationRule names it.
    pub subset: Option<Arc<str>>,
    /// The port; none for the port the request was sent to, or the only one.
    pub port: Option<u16>,
}

/// A destination with its share.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// Share, relative to the sum; never zero.
    pub weight: u32,
    /// Changes to headers of what goes there.
    pub headers: HeaderEdits,
    /// The field it is written in, for explanations.
    pub field: String,
}

impl TrafficRules {
    /// The resource that a rule is written in, given what the rule says of it.
    pub fn origin(&self, own: Option<&ResourceRef>) -> ResourceRef {
        own.unwrap_or(&self.reference).clone()
    }

    /// Whether they come from routes of the Gateway API, not from a VirtualService.
    pub fn is_gateway_api(&self) -> bool {
        &*self.reference.group == GatewayApi::GROUP
    }

    /// Whether the rules are in effect at sidecars.
    pub fn in_mesh(&self) -> bool {
        self.gateways.contains(&GatewayName::Mesh)
    }

    /// The most specific of the hosts that stands for `host`.
    pub fn host_for(&self, host: &Host) -> Option<&Host> {
        self.hosts.iter().filter(|own| own.covers(host)).min()
    }

    /// The rules for requests without those of delegates, which are written elsewhere.
    pub fn own_http(&self) -> impl Iterator<Item = &HttpRule> {
        let delegated = |rule: &&HttpRule| rule.origin.is_some() && !self.is_gateway_api();
        self.http.iter().filter(move |rule| !delegated(rule))
    }

    /// Everywhere that rules may lead to, copies and what delegates say included.
    pub fn every_destination(&self) -> impl Iterator<Item = &Destination> {
        let forwards = self.http.iter().filter_map(|rule| match &rule.action {
            HttpAction::Forward(forward) => Some(forward),
            HttpAction::Redirect(_) | HttpAction::Respond(_) => None,
        });
        let http = forwards.flat_map(|forward| {
            let mirrors = forward.mirrors.iter().map(|mirror| &mirror.destination);
            let weighted = forward.destinations.iter();
            weighted
                .map(|weighted| &weighted.destination)
                .chain(mirrors)
        });
        let tls = self.tls.iter().flat_map(|rule| &rule.destinations);
        let tcp = self.tcp.iter().flat_map(|rule| &rule.destinations);
        http.chain(tls.chain(tcp).map(|weighted| &weighted.destination))
    }

    /// Every destination of every rule that is written here; those of delegates are theirs.
    pub fn destinations(&self) -> impl Iterator<Item = &WeightedDestination> {
        let http = self.own_http().flat_map(|rule| match &rule.action {
            HttpAction::Forward(forward) => &forward.destinations[..],
            HttpAction::Redirect(_) | HttpAction::Respond(_) => &[],
        });
        let tls = self.tls.iter().flat_map(|rule| &rule.destinations);
        let tcp = self.tcp.iter().flat_map(|rule| &rule.destinations);
        http.chain(tls).chain(tcp)
    }
}

impl ClientMatch {
    /// Whether the rule is for this client.
    ///
    /// As in Istio, a rule that names gateways asks no more about a sidecar's labels or namespace.
    pub fn includes(&self, client: Client<'_>) -> bool {
        let here = match client {
            Client::Sidecar { .. } => &GatewayName::Mesh,
            Client::Gateway(name) => name,
        };
        if !self.gateways.is_empty() {
            return self.gateways.contains(here);
        }
        match client {
            Client::Sidecar { namespace, labels } => {
                self.labels.matches(labels)
                    && self
                        .namespace
                        .as_deref()
                        .is_none_or(|only| only == namespace)
            }
            Client::Gateway(_) => self.labels.is_empty() && self.namespace.is_none(),
        }
    }
}

impl GatewayName {
    /// Reads `mesh`, `name` or `namespace/name`.
    pub fn parse(text: &str, own_namespace: &str) -> Self {
        if text == "mesh" {
            return Self::Mesh;
        }
        let (namespace, name) = match text.split_once('/') {
            Some((".", name)) => (own_namespace, name),
            Some(both) => both,
            None => (own_namespace, text),
        };
        Self::Named {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("mesh"),
            Self::Named { namespace, name } => write!(f, "{namespace}/{name}"),
        }
    }
}

impl fmt::Debug for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match &self.subset {
            Some(subset) => write!(f, " subset {subset}"),
            None => Ok(()),
        }
    }
}

//! The resolved form: the whole mesh at one version, with every name looked up and no illegal
//! state left to spell.
//!
//! [`Mesh::resolve`] makes it of a [`ConfigSet`](crate::config::ConfigSet); look-ups answer what a
//! planner asks on behalf of one proxy. Each rule remembers the resource it came from.

mod access;
mod analysis;
mod assumed;
mod attachment;
mod defaults;
mod destination;
mod endpoints;
mod exports;
mod findings;
mod gateway;
pub mod gateway_api;
mod meaning;
mod mtls;
mod part;
mod proxy_settings;
mod question;
mod rate_limit;
mod resolve;
mod scope;
mod service;
mod share;
mod telemetry;
mod token;
mod traffic;
mod virtual_address;
mod workload;

#[cfg(test)]
mod tests;

pub use access::{
    AccessAction, AccessCondition, AccessOperation, AccessPolicy, AccessRule, AccessScope,
    AccessSource, AuthorizerHttp, AuthorizerProtocol, AuthorizerProvider, MAX_ACCESS_RULES, Values,
};
pub use analysis::{analyze, analyze_files};
pub use assumed::{assumed_virtual_addresses, with_assumed_pods};
pub use attachment::{Attachment, Audience, MAX_TARGETS};
pub use defaults::{MeshDefaults, PathSpelling};
pub use destination::{
    Balancing, CallPolicy, Certificate, ClientTls, ConnectionPool, DestinationPolicy, Distribution,
    HashKey, HashTable, Http2Keepalive, LoadPolicy, LocalityLabel, LocalityPolicy,
    OutlierDetection, Place, ProxyProtocol, RegionFailover, RetryBudget, Roots, Subset,
    TcpKeepalive, TlsNames, Tunnel, Warmup,
};
pub use endpoints::{Endpoint, EndpointIndex, ServiceEndpoints};
pub use exports::{DefaultExports, Exports};
pub use gateway::{ClientCertificate, EndTls, Gateway, Server, ServerHost, ServerTls, TlsVersion};
pub use meaning::read;
pub use mtls::{MtlsMode, MtlsPolicy, WorkloadMtls};
pub use proxy_settings::{ForwardedClientCert, ProxySettings};
pub use question::{
    Call, CallError, CallScheme, Caller, Expectation, ExpectedFault, ExpectedMirror,
    ExpectedOutcome, ExpectedRetries, MeshTest, Question, TestCase, unix_seconds,
};
pub use rate_limit::{
    LimitKey, LimitMatch, LimitPriority, LimitRule, MAX_LIMIT_KEYS, MAX_LIMIT_SPAN, MAX_LIMITS,
    RateLimitPolicy,
};
pub use scope::{
    EgressHost, EgressListener, EgressNamespace, IngressEndpoint, IngressListener, OutboundMode,
    Scope,
};
pub use service::{Resolution, Service, ServicePort, TrafficDistribution};
pub use share::PerMillion;
pub use telemetry::{
    CallSide, LogFormat, LogRule, LogUse, MetricNames, MetricUse, MetricsChange, MetricsRule,
    MetricsUse, Provider, ProviderKind, Sides, SpanTag, TelemetryDefaults, TelemetryPolicy,
    TracingRule, TracingUse, WorkloadTelemetry,
};
pub use token::{MAX_TOKEN_RULES, TokenKeys, TokenPolicy, TokenRule};
pub use traffic::{
    Abort, ClaimCondition, Client, ClientMatch, CorsPolicy, Delay, Destination, DirectResponse,
    Fault, Forward, GatewayName, HeaderCondition, HeaderEdits, HttpAction, HttpMatch, HttpRule,
    L4Match, Mirror, PathCondition, PathRewrite, Redirect, RedirectPort, RetryPolicy, TcpRule,
    TextCondition, TlsMatch, TlsRule, TrafficRules, WeightedDestination,
};
pub use workload::{TlsMode, Workload, WorkloadAddress};

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    config::{Resource, Source, Spec, kubernetes::Secret},
    identity::SpiffeId,
    name::{Host, Labels, ResourceRef, Selector},
};
use attachment::Recipient;
use meaning::Meanings;
use resolve::Grouped;
use scope::SidecarScope;

/// The whole mesh at one version.
#[derive(Debug, Clone)]
pub struct Mesh {
    version: u64,
    rules: Arc<Rules>,
    endpoints: EndpointIndex,
}

/// Everything but instances. Lists are oldest first.
#[derive(Debug, Default)]
struct Rules {
    defaults: MeshDefaults,
    services: Vec<Arc<Service>>,
    services_by_host: HashMap<Host, Vec<Arc<Service>>>,
    traffic: Vec<Arc<TrafficRules>>,
    /// Rules without hosts, for others to delegate to.
    delegates: Vec<Arc<TrafficRules>>,
    traffic_by_host: HashMap<Host, Vec<Arc<TrafficRules>>>,
    traffic_by_wildcard: Grouped<Host, TrafficRules>,
    destinations: Vec<Arc<DestinationPolicy>>,
    destinations_by_namespace: Grouped<Arc<str>, DestinationPolicy>,
    gateways: Vec<Arc<Gateway>>,
    access: Vec<Arc<AccessPolicy>>,
    telemetry: Vec<Arc<TelemetryPolicy>>,
    limits: Vec<Arc<RateLimitPolicy>>,
    tokens: Vec<Arc<TokenPolicy>>,
    mtls: Vec<Arc<MtlsPolicy>>,
    backend_tls: Vec<gateway_api::BackendTls>,
    statuses: Vec<gateway_api::ResourceStatus>,
    scopes: Vec<Arc<SidecarScope>>,
    tests: Vec<Arc<MeshTest>>,
    secrets: BTreeMap<(Arc<str>, Arc<str>), Arc<Resource>>,
    /// Labels that some rule asks of callers.
    asked_of_callers: BTreeSet<(String, String)>,
    /// Services whose callers choose an instance by its address.
    headless: Vec<Arc<Service>>,
    /// Labels of callers by which instances are near.
    places_of_callers: BTreeSet<Arc<str>>,
    written: Vec<Arc<Resource>>,
    meanings: Meanings,
}

/// A service that a workload is an instance of, by one of its ports.
#[derive(Debug, Clone)]
pub struct InboundPort {
    /// The service.
    pub service: Arc<Service>,
    /// The port callers use.
    pub port: crate::name::NamedPort,
    /// The port of the workload.
    pub target_port: u16,
}

impl Mesh {
    /// The version of the configuration this was made of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What holds unless a resource says otherwise.
    pub fn defaults(&self) -> &MeshDefaults {
        &self.rules.defaults
    }

    /// The fast lane: what runs.
    pub fn endpoints(&self) -> &EndpointIndex {
        &self.endpoints
    }

    /// Every service, oldest first.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.rules.services
    }

    /// The services a namespace sees (`exportTo`), oldest first. Of several with the same host
    /// only the one that [`Mesh::service`] finds.
    pub fn services_visible_to<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        self.rules.services.iter().filter(move |service| {
            let chosen = self.service(&service.host, namespace);
            chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, service))
        })
    }

    /// The service of this host that a namespace sees: its own before others, then the oldest.
    pub fn service(&self, host: &Host, namespace: &str) -> Option<&Arc<Service>> {
        self.rules.service(host, namespace)
    }

    /// The services a workload is an instance of, with the ports it serves them at.
    pub fn inbound_ports(&self, workload: &Workload) -> Vec<InboundPort> {
        let mut inbound = Vec::new();
        for service in &self.rules.services {
            if service.namespace != workload.namespace {
                continue;
            }
            for port in &service.ports {
                let endpoints = self.endpoints.of(service, port.port.number).iter();
                let mut own = endpoints.filter(|endpoint| {
                    endpoint.workload.reference == workload.reference
                        || workload.addresses.contains(&endpoint.address)
                });
                if let Some(endpoint) = own.next() {
                    inbound.push(InboundPort {
                        service: service.clone(),
                        port: port.port.clone(),
                        target_port: endpoint.port,
                    });
                }
            }
        }
        inbound
    }

    /// The rules for requests to a host, as a client sees them: the most specific host, then the
    /// oldest rules.
    ///
    /// As in Istio, routes of the Gateway API in the client's own namespace come before everything
    /// else for the same host: that is what lets a consumer decide about its own calls.
    pub fn traffic_rules(&self, host: &Host, client: Client<'_>) -> Option<&Arc<TrafficRules>> {
        self.candidate_rules(host, client).next()
    }

    /// Every set of rules for requests to a host, in the order in which they win: the first that
    /// has something to say about a port decides there.
    pub fn candidate_rules<'a, 'b>(
        &'a self,
        host: &'b Host,
        client: Client<'b>,
    ) -> impl Iterator<Item = &'a Arc<TrafficRules>> {
        let own = move |rules: &TrafficRules| match client {
            Client::Sidecar { namespace, .. } => {
                rules.is_gateway_api() && *rules.reference.namespace == *namespace
            }
            Client::Gateway(_) => false,
        };
        let exact = self.rules.traffic_by_host.get(host);
        // Ordered most specific first.
        let wildcards = self.rules.traffic_by_wildcard.iter();
        let covering = wildcards.filter(move |(wildcard, _)| wildcard.covers(host));
        let groups = exact.into_iter().chain(covering.map(|(_, rules)| rules));
        groups
            .flat_map(move |rules| {
                let first = rules.iter().filter(move |rules| own(rules));
                first.chain(rules.iter().filter(move |rules| !own(rules)))
            })
            .filter(move |rules| self.in_effect(rules, client))
    }

    /// Every set of rules in effect for a client, oldest first.
    pub fn traffic_rules_for<'a>(
        &'a self,
        client: Client<'a>,
    ) -> impl Iterator<Item = &'a Arc<TrafficRules>> {
        let all = self.rules.traffic.iter();
        all.filter(move |rules| self.in_effect(rules, client))
    }

    fn in_effect(&self, rules: &TrafficRules, client: Client<'_>) -> bool {
        match client {
            Client::Sidecar { namespace, .. } => rules.in_mesh() && rules.exports.reach(namespace),
            Client::Gateway(name) => {
                let namespace = match name {
                    GatewayName::Named { namespace, .. } => namespace,
                    GatewayName::Mesh => return rules.in_mesh(),
                };
                rules.gateways.contains(name) && rules.exports.reach(namespace)
            }
        }
    }

    /// How a service is called by a client: by a rule of the client's namespace, else of the
    /// service's, else of the root namespace; in each the most specific host, then the oldest.
    /// A rule that selects the client wins over one that does not.
    pub fn destination_policy(
        &self,
        service: &Service,
        namespace: &str,
        labels: &Labels,
    ) -> Option<&Arc<DestinationPolicy>> {
        let owner = Some(&*service.namespace);
        self.rules
            .destination_policy(&service.host, owner, namespace, labels)
    }

    /// The labels of a subset of a service, as a client sees it.
    pub fn subset(
        &self,
        service: &Service,
        subset: &str,
        namespace: &str,
        labels: &Labels,
    ) -> Option<&Selector> {
        let policy = self.destination_policy(service, namespace, labels)?;
        policy.subsets.get(subset).map(|subset| &subset.labels)
    }

    /// Identities of a service's instances: whom a client may expect.
    pub fn identities(&self, service: &Service) -> BTreeSet<SpiffeId> {
        self.endpoints.identities(service)
    }

    /// Which connections a workload accepts.
    pub fn mtls(&self, namespace: &str, labels: &Labels) -> WorkloadMtls {
        let root = &self.rules.defaults.root_namespace;
        mtls::in_effect(&self.rules.mtls, root, namespace, labels)
    }

    /// Who may call a workload.
    pub fn access(&self, namespace: &str, labels: &Labels) -> AccessScope {
        access::in_effect(&self.rules.access, self.recipient(namespace, labels))
    }

    /// Which tokens requests to a workload may bring: policies, oldest first.
    pub fn tokens(&self, namespace: &str, labels: &Labels) -> Vec<Arc<TokenPolicy>> {
        token::in_effect(&self.rules.tokens, self.recipient(namespace, labels))
    }

    fn recipient<'a>(&'a self, namespace: &'a str, labels: &'a Labels) -> Recipient<'a> {
        Recipient {
            root_namespace: &self.rules.defaults.root_namespace,
            namespace,
            labels,
            services: &self.rules.services,
        }
    }

    /// What is recorded of a workload's traffic.
    pub fn telemetry(&self, namespace: &str, labels: &Labels) -> WorkloadTelemetry {
        let root = &self.rules.defaults.root_namespace;
        telemetry::in_effect(&self.rules.telemetry, root, namespace, labels)
    }

    /// How many requests a workload takes: the policies of the mesh and of its namespace that
    /// select it, oldest first.
    pub fn rate_limits<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a Arc<RateLimitPolicy>> {
        let root = &*self.rules.defaults.root_namespace;
        let all = self.rules.limits.iter();
        all.filter(move |policy| policy.is_for(root, namespace, labels))
    }

    /// What a workload may see: by a Sidecar that selects it, else of its namespace, else of the
    /// root namespace, else everything.
    pub fn scope(&self, namespace: &str, labels: &Labels) -> Scope {
        self.rules.scope(namespace, labels)
    }

    /// Every Gateway, oldest first.
    pub fn gateways(&self) -> &[Arc<Gateway>] {
        &self.rules.gateways
    }

    /// The Gateways whose ports a proxy opens.
    pub fn gateways_of<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = &'a Arc<Gateway>> {
        let all = self.rules.gateways.iter();
        all.filter(|gateway| gateway.is_opened_by(namespace, labels))
    }

    /// Where a field of a resource is written, or the nearest one above it; empty for the resource
    /// as a whole. None if the resource is not part of the mesh.
    pub fn source_of(&self, reference: &ResourceRef, field: &str) -> Option<Source> {
        let mut written = self.rules.written.iter();
        let resource = written.find(|resource| resource.reference == *reference)?;
        Some(Source {
            file: resource.source.file.clone(),
            line: resource.line_of(field),
        })
    }

    /// Every MeshTest, oldest first.
    pub fn tests(&self) -> &[Arc<MeshTest>] {
        &self.rules.tests
    }

    /// How a port of a service is called where a BackendTLSPolicy says so: one for the port
    /// before one for the whole service.
    pub fn backend_tls(&self, service: &Service, port: u16) -> Option<&gateway_api::BackendTls> {
        let of_service = || {
            let all = self.rules.backend_tls.iter();
            all.filter(|policy| policy.host == service.host)
        };
        let of_port = of_service().find(|policy| policy.port == Some(port));
        of_port.or_else(|| of_service().find(|policy| policy.port.is_none()))
    }

    /// What became of each resource of the Gateway API, by kind, namespace and name.
    pub fn gateway_api_statuses(&self) -> &[gateway_api::ResourceStatus] {
        &self.rules.statuses
    }

    /// The Secret of this name.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        let key = (namespace.into(), name.into());
        match &self.rules.secrets.get(&key)?.spec {
            Spec::Secret(secret) => Some(secret),
            _ => None,
        }
    }
}

impl Rules {
    fn service(&self, host: &Host, namespace: &str) -> Option<&Arc<Service>> {
        let services = self.services_by_host.get(host)?;
        let own = services
            .iter()
            .find(|service| *service.namespace == *namespace);
        own.or_else(|| {
            services
                .iter()
                .find(|service| service.exports.reach(namespace))
        })
    }

    fn destination_policy(
        &self,
        host: &Host,
        owner: Option<&str>,
        namespace: &str,
        labels: &Labels,
    ) -> Option<&Arc<DestinationPolicy>> {
        let root = &*self.defaults.root_namespace;
        let find = |of: &str, own: bool| {
            let policies = self.destinations_by_namespace.get(of)?;
            policies
                .iter()
                .filter(|policy| policy.host.covers(host))
                .filter(|policy| policy.exports.reach(namespace))
                // Rules of the root namespace are for everybody's sake: they come last also for
                // callers that live there, unless they are for these alone.
                .filter(|policy| !own || of != root || policy.exports.is_only(root))
                .filter(|policy| match &policy.clients {
                    Some(clients) => of == namespace && clients.matches(labels),
                    None => true,
                })
                .min_by_key(|policy| (&policy.host, policy.clients.is_none()))
        };
        find(namespace, true)
            .or_else(|| {
                owner
                    .filter(|o| *o != namespace)
                    .and_then(|o| find(o, false))
            })
            .or_else(|| find(root, false))
    }

    fn scope(&self, namespace: &str, labels: &Labels) -> Scope {
        let root = &*self.defaults.root_namespace;
        let of = |wanted: &'_ str, selected: bool| {
            let wanted = wanted.to_owned();
            self.scopes.iter().find(move |scope| {
                *scope.reference.namespace == *wanted
                    && match &scope.selector {
                        Some(selector) => selected && selector.matches(labels),
                        None => !selected,
                    }
            })
        };
        let sidecar = of(namespace, true)
            .or_else(|| of(namespace, false))
            .or_else(|| of(root, false));
        Scope {
            origin: sidecar.map(|sidecar| sidecar.reference.clone()),
            egress: sidecar.and_then(|sidecar| sidecar.egress.clone()),
            ingress: sidecar.and_then(|sidecar| sidecar.ingress.clone()),
            inbound_pool: sidecar.and_then(|sidecar| sidecar.inbound_pool.clone()),
            egress_proxy: sidecar.and_then(|sidecar| sidecar.egress_proxy.clone()),
            outbound: sidecar
                .and_then(|sidecar| sidecar.outbound)
                .unwrap_or(self.defaults.outbound),
        }
    }
}

//! Gateways: whose they are, which proxies open their ports, and what their listeners are.

use std::sync::Arc;

use super::{
    Attached,
    listeners::{self, Listener},
    status::{Condition, ResourceStatus},
    world::World,
};
use crate::{
    config::{
        Problem, Resource, Severity,
        gateway_api::{AddressKind, Gateway as Written, GatewayApi, GatewayClass},
    },
    mesh::{Gateway, findings::Findings},
    name::{Labels, Selector},
};

/// Who implements our classes, as istiod calls itself.
const CONTROLLER: &str = "istio.io/gateway-controller";
/// The class that istiod brings along.
const BUILT_IN_CLASS: &str = "istio";
/// The label of pods that were made for a Gateway.
const NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// A Gateway of one of our classes.
pub(super) struct ApiGateway<'a> {
    pub(super) resource: &'a Arc<Resource>,
    pub(super) listeners: Vec<Listener<'a>>,
    conditions: Vec<Condition>,
    proxies: Vec<Proxies>,
}

/// The pods that open the ports.
struct Proxies {
    namespace: Arc<str>,
    selector: Selector,
}

/// What is wrong with a Gateway by itself.
pub(super) fn check(resource: &Resource, written: &Written) -> Vec<Problem> {
    let mut findings = Findings::new(resource);
    if written.gateway_class_name.is_empty() {
        findings.error("spec.gatewayClassName", "is missing");
    }
    if written.listeners.is_empty() {
        findings.error("spec.listeners", "at least one listener is needed");
    }
    if let Some(backend) = &written.tls.as_ref().and_then(|tls| tls.backend.as_ref())
        && backend.client_certificate_ref.is_some()
    {
        let reason = "not supported yet: destinations are shown the proxy's own certificate";
        findings.warn("spec.tls.backend.clientCertificateRef", reason);
    }
    for (i, listener) in written.listeners.iter().enumerate() {
        let field = format!("spec.listeners[{i}]");
        listeners::check(&field, listener, &written.listeners[..i], &mut findings);
    }
    findings.conclude(()).1
}

/// Every Gateway of our classes, and the state of the classes.
pub(super) fn find<'a>(world: &World<'a>, attached: &mut Attached) -> Vec<ApiGateway<'a>> {
    let mut gateways = Vec::new();
    for (resource, written) in world.written() {
        match written {
            GatewayApi::GatewayClass(class) if is_ours(class) => {
                let accepted = Condition::holds("Accepted", "Accepted");
                attached.statuses.push(ResourceStatus {
                    reference: resource.reference.clone(),
                    conditions: vec![accepted],
                    listeners: Vec::new(),
                    parents: Vec::new(),
                });
            }
            GatewayApi::Gateway(gateway) => match class_of(world, gateway) {
                Class::Ours => gateways.push(ApiGateway::new(world, resource, gateway, attached)),
                Class::Other => {}
                Class::Unknown => {
                    let reason = format!(
                        "there is no GatewayClass {}: nobody opens its ports",
                        gateway.gateway_class_name
                    );
                    let field = "spec.gatewayClassName";
                    let problem = resource.problem(Severity::Warning, field, reason);
                    let advice = format!("use {BUILT_IN_CLASS}, which needs no GatewayClass");
                    attached.problems.push(problem.advise(advice));
                }
            },
            _ => {}
        }
    }
    gateways
}

enum Class {
    Ours,
    Other,
    Unknown,
}

fn class_of(world: &World<'_>, gateway: &Written) -> Class {
    let name = &*gateway.gateway_class_name;
    let written = world
        .written()
        .find_map(|(resource, written)| match written {
            GatewayApi::GatewayClass(class) if *resource.reference.name == *name => Some(class),
            _ => None,
        });
    match written {
        Some(class) if is_ours(class) => Class::Ours,
        Some(_) => Class::Other,
        None if name == BUILT_IN_CLASS => Class::Ours,
        None => Class::Unknown,
    }
}

fn is_ours(class: &GatewayClass) -> bool {
    class.controller_name == CONTROLLER
}

impl<'a> ApiGateway<'a> {
    fn new(
        world: &World<'a>,
        resource: &'a Arc<Resource>,
        written: &'a Written,
        attached: &mut Attached,
    ) -> Self {
        let mut gateway = Self {
            resource,
            listeners: listeners::of(world, resource, written, &mut attached.problems),
            conditions: Vec::new(),
            proxies: Vec::new(),
        };
        let address = gateway.find_proxies(world, written);
        let accepted = match gateway.parameters(world, written) {
            Some(invalid) => invalid,
            None => address.unwrap_or_else(|| gateway.accepted()),
        };
        if !accepted.holds {
            let reason = format!("{}: {}", accepted.reason, accepted.message);
            let problem = resource.problem(Severity::Warning, "spec", reason);
            attached.problems.push(problem);
        }
        gateway.conditions.push(accepted);
        gateway
    }

    fn accepted(&self) -> Condition {
        let good = self
            .listeners
            .iter()
            .filter(|listener| listener.is_accepted());
        let message = "not every listener is accepted";
        match (good.count(), self.listeners.len()) {
            (good, all) if good == all => Condition::holds("Accepted", "Accepted"),
            (0, _) => Condition::fails("Accepted", "ListenersNotValid", "no listener is accepted"),
            _ => Condition {
                message: message.into(),
                ..Condition::holds("Accepted", "ListenersNotValid")
            },
        }
    }

    /// By hand, a Service stands before the proxies; else pods were made for this Gateway.
    fn find_proxies(&mut self, world: &World<'_>, written: &Written) -> Option<Condition> {
        let own = &self.resource.reference;
        let mut unusable = None;
        let mut by_hand = false;
        for address in &written.addresses {
            match &address.kind {
                AddressKind::Hostname => {
                    by_hand = true;
                    let name = &address.value;
                    let host = match name.contains('.') {
                        true => name.clone(),
                        false => {
                            format!("{name}.{}.svc.{}", own.namespace, world.defaults.domain)
                        }
                    };
                    let service = world.by_host(&host);
                    self.proxies.extend(service.and_then(|service| {
                        Some(Proxies {
                            namespace: service.namespace.clone(),
                            selector: service.selector.clone()?,
                        })
                    }));
                }
                AddressKind::IpAddress => {}
                AddressKind::Other(kind) => {
                    let message = format!("addresses of type {kind:?} are not supported");
                    unusable = Some(Condition::fails("Accepted", "UnsupportedAddress", message));
                }
            }
        }
        if !by_hand {
            let label: Labels = [(NAME_LABEL, &*own.name)].into_iter().collect();
            self.proxies.push(Proxies {
                namespace: own.namespace.clone(),
                selector: Selector(label),
            });
        }
        unusable
    }

    /// Parameters are for who makes the pods; that they are there is looked at.
    fn parameters(&self, world: &World<'_>, written: &Written) -> Option<Condition> {
        let to = written.infrastructure.as_ref()?.parameters_ref.as_ref()?;
        let namespace = &self.resource.reference.namespace;
        let known = to.kind == "ConfigMap" && world.config_map(namespace, &to.name).is_some();
        (!known).then(|| {
            let message = format!("there is no {} {}", to.kind, to.name);
            Condition::fails("Accepted", "InvalidParameters", message)
        })
    }

    /// What proxies are to open: a Gateway for each listener and each set of proxies.
    pub(super) fn open(&self, attached: &mut Attached) {
        let refused = self.conditions.iter().any(|condition| !condition.holds);
        for listener in self.listeners.iter().filter(|l| l.is_open() && !refused) {
            for proxies in &self.proxies {
                attached.gateways.push(Arc::new(Gateway {
                    reference: self.resource.reference.clone(),
                    source: self.resource.source.clone(),
                    name: listener.name.clone(),
                    selector: proxies.selector.clone(),
                    namespace: Some(proxies.namespace.clone()),
                    servers: listener.servers(),
                }));
            }
        }
    }

    pub(super) fn status(&self) -> ResourceStatus {
        let mut conditions = self.conditions.clone();
        let refused = conditions.iter().any(|condition| !condition.holds);
        conditions.push(if refused {
            Condition::fails("Programmed", "Invalid", "it is not accepted")
        } else if self.proxies.is_empty() {
            let message = "no Service stands at its addresses";
            Condition::fails("Programmed", "AddressNotUsable", message)
        } else {
            Condition::holds("Programmed", "Programmed")
        });
        ResourceStatus {
            reference: self.resource.reference.clone(),
            conditions,
            listeners: self.listeners.iter().map(Listener::status).collect(),
            parents: Vec::new(),
        }
    }
}

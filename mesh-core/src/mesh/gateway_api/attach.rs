//! Routes meet their parents.

use std::sync::Arc;

use super::{
    Attached,
    backend::{self, Unusable},
    gateways::ApiGateway,
    listeners::{Listener, every_host},
    merge::{Groups, Place},
    route::{Route, RouteKind},
    status::{Condition, ParentStatus, ResourceStatus},
    world::World,
};
use crate::{
    config::{
        Resource, Severity,
        gateway_api::{GatewayApi, ParentRef},
    },
    mesh::Service,
    name::Host,
};

/// Attaches every route, oldest first, and opens what they are attached to.
pub(super) fn routes(world: &World<'_>, gateways: &mut [ApiGateway<'_>], attached: &mut Attached) {
    let mut groups = Groups::default();
    for piece in world.pieces {
        let Some(route) = &piece.route else {
            continue;
        };
        let mut parents = Vec::new();
        for (index, parent) in route.parents.iter().enumerate() {
            let mut meeting = Meeting {
                world,
                route,
                resource: &piece.resource,
                field: format!("spec.parentRefs[{index}]"),
                parent,
                groups: &mut groups,
                attached,
            };
            let conditions = meeting.meet(gateways);
            parents.extend(conditions.map(|conditions| ParentStatus {
                parent: parent.clone(),
                conditions,
            }));
        }
        attached.statuses.push(ResourceStatus {
            reference: route.reference.clone(),
            conditions: Vec::new(),
            listeners: Vec::new(),
            parents,
        });
    }
    for gateway in gateways {
        gateway.open(attached);
    }
    attached.traffic = groups.into_rules();
}

/// A route and one of its parents.
struct Meeting<'a, 'b> {
    world: &'a World<'a>,
    route: &'a Route,
    resource: &'a Arc<Resource>,
    field: String,
    parent: &'a ParentRef,
    groups: &'b mut Groups,
    attached: &'b mut Attached,
}

impl Meeting<'_, '_> {
    /// What became of it. None where the parent is none of ours.
    fn meet(&mut self, gateways: &mut [ApiGateway<'_>]) -> Option<Vec<Condition>> {
        let group = self.parent.group.as_deref().unwrap_or(GatewayApi::GROUP);
        let kind = self.parent.kind.as_deref().unwrap_or("Gateway");
        let namespace = self.parent.namespace.as_deref();
        let namespace = namespace.unwrap_or(&self.route.reference.namespace);
        let name = &*self.parent.name;
        let accepted = match (group, kind) {
            (GatewayApi::GROUP, "Gateway") => {
                let own = gateways.iter_mut().find(|gateway| {
                    let reference = &gateway.resource.reference;
                    *reference.namespace == *namespace && *reference.name == *name
                });
                let Some(gateway) = own else {
                    let known = self.world.written().any(|(resource, written)| {
                        matches!(written, GatewayApi::Gateway(_))
                            && *resource.reference.namespace == *namespace
                            && *resource.reference.name == *name
                    });
                    if !known {
                        self.warn(format!("there is no Gateway {namespace}/{name}"));
                    }
                    return None;
                };
                self.at_gateway(gateway)
            }
            ("" | "core", "Service") => match self.world.service(namespace, name) {
                Some(service) => self.at_services(&[service]),
                None => Err(no_parent(format!("there is no Service {namespace}/{name}"))),
            },
            ("networking.istio.io", "ServiceEntry") => match self.world.entry(namespace, name) {
                [] => {
                    let message = format!("there is no ServiceEntry {namespace}/{name}");
                    Err(no_parent(message))
                }
                services => self.at_services(services),
            },
            _ => {
                self.warn(format!("routes are not attached to a {kind} of {group:?}"));
                return None;
            }
        };
        if let Err(condition) = &accepted {
            self.warn(format!("{}: {}", condition.reason, condition.message));
        }
        Some(self.conditions(accepted, kind == "Gateway"))
    }

    fn at_gateway(&mut self, gateway: &mut ApiGateway<'_>) -> Result<(), Condition> {
        let own = gateway.resource.reference.namespace.clone();
        let (route, parent) = (self.route, self.parent);
        let is_named = |listener: &Listener<'_>| {
            let name = parent
                .section_name
                .as_deref()
                .filter(|name| !name.is_empty());
            let port = parent.port;
            name.is_none_or(|name| name == listener.written.name)
                && port.is_none_or(|port| port == listener.written.port)
        };
        let mut named: Vec<_> = (0..gateway.listeners.len())
            .filter(|i| is_named(&gateway.listeners[*i]))
            .collect();
        if named.is_empty() {
            let reference = &gateway.resource.reference;
            let message = format!("{reference} has no such listener");
            return Err(no_parent(message));
        }
        named.retain(|i| {
            let listener = &gateway.listeners[*i];
            let namespace = &route.reference.namespace;
            listener.takes_kind(route.kind) && listener.takes_namespace(self.world, &own, namespace)
        });
        if named.is_empty() {
            let message = "no listener takes routes of this kind and namespace";
            return Err(Condition::fails(
                "Accepted",
                "NotAllowedByListeners",
                message,
            ));
        }
        named.retain(|i| !hosts(&gateway.listeners[*i], route).is_empty());
        if named.is_empty() {
            let message = "no listener is for any of its host names";
            let reason = "NoMatchingListenerHostname";
            return Err(Condition::fails("Accepted", reason, message));
        }
        for i in named {
            let isolated = isolated(&gateway.listeners, i, hosts(&gateway.listeners[i], route));
            let listener = &mut gateway.listeners[i];
            listener.attached_routes += 1;
            for host in isolated {
                if !listener.answered.contains(&host) {
                    listener.answered.push(host.clone());
                }
                let place = Place::Listener(listener.name.clone());
                self.groups.add(self.world, route, place, &host, None);
            }
        }
        Ok(())
    }

    fn at_services(&mut self, services: &[&Arc<Service>]) -> Result<(), Condition> {
        let parent = self.parent;
        let section = parent
            .section_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let mut found = false;
        for service in services {
            let mut ports = service.ports.iter().map(|port| &port.port).filter(|port| {
                section.is_none_or(|name| name == port.name)
                    && parent.port.is_none_or(|number| number == port.number)
            });
            let Some(port) = ports.next() else {
                continue;
            };
            found = true;
            let one_port = section.is_some() || parent.port.is_some();
            let place = Place::Mesh {
                namespace: self.route.reference.namespace.clone(),
                is_producer: self.route.reference.namespace == service.namespace,
            };
            let port = one_port.then_some(port.number);
            self.groups
                .add(self.world, self.route, place, &service.host, port);
        }
        match found {
            true => Ok(()),
            false => Err(no_parent("it has no such port".into())),
        }
    }

    fn conditions(&mut self, accepted: Result<(), Condition>, needs_grant: bool) -> Vec<Condition> {
        let refused: Vec<_> = self
            .route
            .rules
            .iter()
            .flat_map(|rule| &rule.refused)
            .collect();
        let mut conditions = Vec::new();
        let message = refused.first().map(ToString::to_string).unwrap_or_default();
        conditions.push(match accepted {
            Err(condition) => condition,
            Ok(()) if !refused.is_empty() && refused.len() == self.route.rules.len() => {
                Condition::fails("Accepted", "UnsupportedValue", message.clone())
            }
            Ok(()) => Condition::holds("Accepted", "Accepted"),
        });
        if !refused.is_empty() && refused.len() < self.route.rules.len() {
            conditions.push(Condition {
                message,
                ..Condition::holds("PartiallyInvalid", "UnsupportedValue")
            });
        }
        conditions.push(match self.unusable(needs_grant) {
            Some(unusable) => Condition::fails("ResolvedRefs", unusable.reason, unusable.message),
            None => Condition::holds("ResolvedRefs", "ResolvedRefs"),
        });
        conditions
    }

    /// The first destination that cannot be used. Each is told.
    fn unusable(&mut self, needs_grant: bool) -> Option<Unusable> {
        let route = self.route;
        let mut first = None;
        for rule in &route.rules {
            let backends = rule
                .backends
                .iter()
                .map(|backend| (&backend.field, &backend.to));
            let mirrors = rule
                .mirrors
                .iter()
                .map(|mirror| (&mirror.field, &mirror.to));
            for (field, to) in backends.chain(mirrors) {
                let found = backend::destination(self.world, &route.reference, to, needs_grant);
                if let Err(unusable) = found {
                    let Unusable { reason, message } = &unusable;
                    let told = match route.kind.is_requests() {
                        true => format!("{reason}: {message}: its share of requests gets a 500"),
                        false => format!("{reason}: {message}: its share of connections is closed"),
                    };
                    let problem = self.resource.problem(Severity::Warning, field, told);
                    if !self.attached.problems.contains(&problem) {
                        self.attached.problems.push(problem);
                    }
                    first.get_or_insert(unusable);
                }
            }
        }
        first
    }

    fn warn(&mut self, reason: String) {
        let problem = self
            .resource
            .problem(Severity::Warning, &self.field, reason);
        self.attached.problems.push(problem);
    }
}

fn no_parent(message: String) -> Condition {
    Condition::fails("Accepted", "NoMatchingParent", message)
}

/// The hosts that a route answers at a listener: every pair that overlaps, narrowed to the more
/// specific of both. TCP has no hosts.
fn hosts(listener: &Listener<'_>, route: &Route) -> Vec<Host> {
    let own = listener.host.clone().unwrap_or_else(every_host);
    if route.kind == RouteKind::Tcp || route.hostnames.is_empty() {
        return vec![own];
    }
    let narrow =
        route
            .hostnames
            .iter()
            .filter_map(|host| match (own.covers(host), host.covers(&own)) {
                (true, _) => Some(host.clone()),
                (_, true) => Some(own.clone()),
                _ => None,
            });
    let mut hosts: Vec<Host> = narrow.collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Those of the hosts that no more specific listener of the same port takes.
fn isolated(listeners: &[Listener<'_>], index: usize, mut hosts: Vec<Host>) -> Vec<Host> {
    let own = &listeners[index];
    let own_host = own.host.clone().unwrap_or_else(every_host);
    let same = listeners.iter().enumerate().filter(|(i, other)| {
        *i != index && other.written.port == own.written.port && other.protocol == own.protocol
    });
    for other in same.filter_map(|(_, other)| other.host.as_ref()) {
        let is_narrower = own_host.covers(other) && *other != own_host;
        hosts.retain(|host| !(is_narrower && other.covers(host)));
    }
    hosts
}

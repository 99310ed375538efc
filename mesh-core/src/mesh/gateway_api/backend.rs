//! What a route's destinations are.

use super::{grants::Reference, world::World};
use crate::{config::gateway_api::BackendObjectRef, mesh::Destination, name::ResourceRef};

/// Why a destination cannot be used: a reason of the condition `ResolvedRefs`, and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Whether it is a Service of Kubernetes that is meant.
pub(super) fn is_service(to: &BackendObjectRef) -> bool {
    kind_of(to) == ("", "Service")
}

fn kind_of(to: &BackendObjectRef) -> (&str, &str) {
    let group = to.group.as_deref().filter(|group| *group != "core");
    (group.unwrap_or(""), to.kind.as_deref().unwrap_or("Service"))
}

/// The service and port that a route of this kind leads to. At a Gateway, what is in another
/// namespace must be granted; among Services istiod asks for no grant, since whoever may call
/// there may do so without a route as well.
pub(super) fn destination(
    world: &World<'_>,
    route: &ResourceRef,
    to: &BackendObjectRef,
    needs_grant: bool,
) -> Result<Destination, Unusable> {
    let fails = |reason, message| Err(Unusable { reason, message });
    let namespace = to.namespace.as_deref().unwrap_or(&route.namespace);
    let (group, kind) = kind_of(to);
    let reference = Reference {
        from_kind: &route.kind,
        from_namespace: &route.namespace,
        to_group: group,
        to_kind: kind,
        to_namespace: namespace,
        to_name: &to.name,
    };
    let service = match (group, kind) {
        ("", "Service") => {
            if needs_grant && !world.grants.allow(reference) {
                let message = format!(
                    "no ReferenceGrant in {namespace} lets a {} of {} refer to Service {}",
                    route.kind, route.namespace, to.name
                );
                return fails("RefNotPermitted", message);
            }
            world.service(namespace, &to.name)
        }
        // Istio's way to name a host of a ServiceEntry.
        ("networking.istio.io", "Hostname") => world.by_host(&to.name),
        (group, kind) => {
            let message = format!("{kind} of {group:?} is not supported as a destination");
            return fails("InvalidKind", message);
        }
    };
    let Some(service) = service else {
        let message = format!("there is no {kind} {namespace}/{}", to.name);
        return fails("BackendNotFound", message);
    };
    let port = to.port.or_else(|| match &service.ports[..] {
        [only] => Some(only.port.number),
        _ => None,
    });
    match port.filter(|port| service.port(*port).is_some()) {
        Some(port) => Ok(Destination {
            host: service.host.clone(),
            subset: None,
            port: Some(port),
        }),
        None => {
            let port = to.port.map_or_else(String::new, |port| format!(" {port}"));
            let message = format!("{kind} {namespace}/{} has no port{port}", to.name);
            fails("BackendNotFound", message)
        }
    }
}

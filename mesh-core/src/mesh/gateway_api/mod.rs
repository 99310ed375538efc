//! What the Gateway API means: routes meet the Gateways and Services they are attached to, and
//! become the same [`TrafficRules`] and [`Gateway`]s that Istio's own resources become.
//!
//! A listener becomes a Gateway of its own, named as istiod names it. For each host that routes
//! answer there, rules of all of them are merged into one list, ordered as the Gateway API says.
//! Routes attached to a Service are merged in the same way, by the namespace they are written in:
//! rules of the Service's own namespace are for every caller, those of another one for callers of
//! that namespace only.

mod attach;
mod backend;
mod backend_tls;
mod certificates;
mod gateways;
mod grants;
mod listeners;
mod lower;
mod merge;
mod route;
mod status;
mod world;

#[cfg(test)]
mod tests;

pub use backend_tls::BackendTls;
pub use status::{Condition, ListenerStatus, ParentStatus, ResourceStatus};

pub(super) use route::Route;
pub(super) use world::{Piece, World};

use std::sync::Arc;

use super::{Gateway, TrafficRules};
use crate::config::{Problem, Resource, gateway_api::GatewayApi};

/// What the Gateway API's resources mean together.
#[derive(Debug, Default)]
pub(super) struct Attached {
    pub(super) gateways: Vec<Arc<Gateway>>,
    pub(super) traffic: Vec<Arc<TrafficRules>>,
    pub(super) backend_tls: Vec<BackendTls>,
    pub(super) statuses: Vec<ResourceStatus>,
    pub(super) problems: Vec<Problem>,
}

/// What a resource means by itself: something only for routes.
pub(super) fn meaning(resource: &Resource, written: &GatewayApi) -> (Option<Route>, Vec<Problem>) {
    match written {
        GatewayApi::Gateway(gateway) => (None, gateways::check(resource, gateway)),
        GatewayApi::ReferenceGrant(grant) => (None, grants::check(resource, grant)),
        GatewayApi::BackendTlsPolicy(policy) => (None, backend_tls::check(resource, policy)),
        _ => lower::route(resource, written),
    }
}

/// Lets everything meet. `world` holds it oldest first.
pub(super) fn attach(mut world: World<'_>) -> Attached {
    let mut attached = Attached::default();
    world.untrusted = backend_tls::policies(&world, &mut attached);
    let world = &world;
    let mut gateways = gateways::find(world, &mut attached);
    attach::routes(world, &mut gateways, &mut attached);
    for gateway in &gateways {
        attached.statuses.push(gateway.status());
    }
    let order = |status: &ResourceStatus| status.reference.clone();
    attached.statuses.sort_by_key(order);
    attached
}

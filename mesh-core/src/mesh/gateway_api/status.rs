//! What became of each resource, in the words that the Gateway API has for it.
//!
//! Values only: who writes them into a cluster adds when they were observed, and for which
//! generation. Whether a Gateway's proxies run is not known here; `Programmed` says that they
//! would be told everything.

use crate::{config::gateway_api::ParentRef, name::ResourceRef};

/// What became of one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceStatus {
    /// The resource.
    pub reference: ResourceRef,
    /// Of a GatewayClass or a Gateway.
    pub conditions: Vec<Condition>,
    /// Of a Gateway: each listener, in the order written.
    pub listeners: Vec<ListenerStatus>,
    /// Of a route: each parent of ours, in the order written. Of a BackendTLSPolicy: its targets.
    pub parents: Vec<ParentStatus>,
}

/// What became of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// How many routes are attached.
    pub attached_routes: u32,
    /// The kinds of routes that may be, all of the Gateway API's group.
    pub supported_kinds: Vec<&'static str>,
    /// What is so.
    pub conditions: Vec<Condition>,
}

/// What became of a route at one of its parents.
#[derive(Debug, Clone, PartialEq)]
pub struct ParentStatus {
    /// The parent, as the route names it.
    pub parent: ParentRef,
    /// What is so.
    pub conditions: Vec<Condition>,
}

/// Something that is so, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Such as `Accepted`.
    pub kind: &'static str,
    /// Whether it is so.
    pub holds: bool,
    /// Such as `NoMatchingParent`.
    pub reason: &'static str,
    /// The same for people; perhaps empty.
    pub message: String,
}

impl Condition {
    pub(super) fn holds(kind: &'static str, reason: &'static str) -> Self {
        Self {
            kind,
            holds: true,
            reason,
            message: String::new(),
        }
    }

    pub(super) fn fails(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            holds: false,
            reason,
            message: message.into(),
        }
    }
}

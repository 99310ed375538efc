use std::collections::BTreeMap;

use mesh_core::{config::Problem, dataplane::ResourceType};
use tokio::sync::mpsc;

use crate::cache::NodeStatus;

/// So many events wait to be taken; further ones are lost.
pub const MAX_EVENTS: usize = 4096;

/// Something that happened in a control plane.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ControlEvent {
    /// A version of the configuration is in effect.
    Applied {
        /// The version.
        version: u64,
        /// Everything that is wrong with it.
        problems: Vec<Problem>,
    },
    /// Planning for a node found problems that were not told before.
    Planned {
        /// The node's id.
        node: String,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// A node opened a stream.
    Connected {
        /// The node's id.
        node: String,
    },
    /// A node closed its last stream.
    Disconnected {
        /// The node's id.
        node: String,
    },
    /// A node runs on everything it is served.
    Accepted {
        /// The node's id.
        node: String,
        /// The configuration it was planned from.
        version: u64,
    },
    /// A node refuses something.
    Refused {
        /// The node's id.
        node: String,
        /// Of what type.
        resource_type: ResourceType,
        /// In its own words.
        detail: String,
    },
    /// A source cannot be read for now.
    Trouble(String),
}

/// Tells of events, those of nodes by comparing their states.
pub(super) struct Reporter {
    events: Option<mpsc::Sender<ControlEvent>>,
    before: BTreeMap<String, NodeStatus>,
}

impl Reporter {
    pub(super) fn new(events: Option<mpsc::Sender<ControlEvent>>) -> Self {
        Self {
            events,
            before: BTreeMap::new(),
        }
    }

    pub(super) fn report(&self, event: ControlEvent) {
        if let Some(events) = &self.events {
            // Nobody must be able to hold up a control plane by not listening.
            let _ = events.try_send(event);
        }
    }

    pub(super) fn compare(&mut self, after: &BTreeMap<String, NodeStatus>) {
        if self.events.is_none() {
            return;
        }
        let unknown = NodeStatus::default();
        for (id, status) in after {
            let before = self.before.get(id).unwrap_or(&unknown);
            for event in differences(id, before, status) {
                self.report(event);
            }
        }
        self.before.clone_from(after);
    }
}

fn differences(id: &str, before: &NodeStatus, after: &NodeStatus) -> Vec<ControlEvent> {
    let node = id.to_owned();
    let mut events = Vec::new();
    if before.streams == 0 && after.streams > 0 {
        events.push(ControlEvent::Connected { node: node.clone() });
    }
    for (&resource_type, detail) in &after.refused {
        if before.refused.get(&resource_type) != Some(detail) {
            events.push(ControlEvent::Refused {
                node: node.clone(),
                resource_type,
                detail: detail.clone(),
            });
        }
    }
    let is_news = !before.is_settled || before.accepted != after.accepted;
    if after.is_settled && is_news && after.refused.is_empty() {
        events.push(ControlEvent::Accepted {
            node: node.clone(),
            version: after.planned,
        });
    }
    if before.streams > 0 && after.streams == 0 {
        events.push(ControlEvent::Disconnected { node });
    }
    events
}

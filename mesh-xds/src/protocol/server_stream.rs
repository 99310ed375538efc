use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
};

use bytes::Bytes;
use mesh_core::dataplane::{Name, ResourceType};

use super::{
    message::{Answer, ClientMessage, ServerMessage},
    order::{PUSH, PerType},
    subscription::{Subscription, TooManyNames},
};
use crate::served::{Encoded, Lane, Served, version_of};

/// So many responses of one type may wait for an answer; older ones are forgotten.
pub const MAX_OUTSTANDING: usize = 64;

/// The answering side of one aggregated stream.
///
/// ```text
///            request                 push: news, new names, changed clusters
/// Unasked ─────────────▶ Asked ◀──────────────────────────────────▶ Outstanding
///                          ▲        answer (ACK or NACK) to the newest      │
///                          └──────────────────────────────────────────────┘
/// ```
///
/// Nothing is sent because of an answer. Answers may be late: a client may hold back the answer to
/// clusters until their endpoints are there, so order is kept by the order of sending alone.
#[derive(Debug, Default)]
pub struct ServerStream {
    types: PerType<State>,
    nonces: u64,
}

#[derive(Debug, Default)]
struct State {
    /// None until the client asked.
    subscription: Option<Subscription>,
    /// What the client has of this stream: content and bytes.
    sent: BTreeMap<Name, (u64, Bytes)>,
    version: String,
    nonce: String,
    /// Responses without an answer: nonce to version.
    outstanding: BTreeMap<u64, String>,
    refused: bool,
    /// The client waits for an answer, even an empty one.
    is_due: bool,
    /// To be sent even if sent before.
    due: BTreeSet<Name>,
}

/// What a client's message came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// It asked for resources.
    Asked(ResourceType),
    /// It took this version.
    Accepted(ResourceType, String),
    /// It refused something in this version; the good resources in it are in use.
    Refused {
        /// The type.
        resource_type: ResourceType,
        /// The version.
        version: String,
        /// What it says is wrong.
        detail: String,
    },
    /// It speaks of a response that was followed by another: it will speak again.
    Stale,
}

impl ServerStream {
    /// Takes a message in. What is due now comes from [`Self::push`].
    ///
    /// # Errors
    ///
    /// A message that asks for too much; the stream should end.
    pub fn receive(&mut self, message: ClientMessage) -> Result<ServerEvent, TooManyNames> {
        let resource_type = message.resource_type;
        let state = &mut self.types[resource_type];
        let is_first = state.subscription.is_none();
        let nonce = match message.answer {
            _ if is_first => return state.ask(resource_type, &message.names),
            Answer::Subscribe => return state.ask(resource_type, &message.names),
            Answer::Refused { nonce, detail } => {
                state.wants(resource_type, &message.names)?;
                let Some(version) = state.answered(&nonce) else {
                    return Ok(ServerEvent::Stale);
                };
                state.refused |= nonce == state.nonce;
                return Ok(ServerEvent::Refused {
                    resource_type,
                    version,
                    detail,
                });
            }
            Answer::Seen { nonce } => nonce,
        };
        // Names count whatever the nonce: on one stream the newest request has the last word.
        let names_changed = state.wants(resource_type, &message.names)?;
        if nonce != state.nonce {
            return Ok(match state.answered(&nonce) {
                Some(version) => ServerEvent::Accepted(resource_type, version),
                None => ServerEvent::Stale,
            });
        }
        // With another version it only changes names and will answer later.
        if message.version != state.version {
            return Ok(ServerEvent::Asked(resource_type));
        }
        match state.answered(&nonce) {
            Some(version) => {
                state.refused = false;
                Ok(ServerEvent::Accepted(resource_type, version))
            }
            None => {
                // The same once more: it waits for what belongs to a changed cluster.
                if !names_changed && resource_type == ResourceType::Endpoints {
                    let subscription = state.subscription.as_ref();
                    state.due = subscription.map(|s| s.names().clone()).unwrap_or_default();
                }
                Ok(ServerEvent::Asked(resource_type))
            }
        }
    }

    /// Everything that is due, in the order in which it must be sent.
    pub fn push(&mut self, served: &Served) -> Vec<ServerMessage> {
        let mut messages = Vec::new();
        for resource_type in PUSH {
            let lane = served.lane(resource_type);
            let message = match resource_type {
                ResourceType::Cluster => self.push_clusters(lane),
                ResourceType::Listener => self.push_all(resource_type, lane, lane.version.clone()),
                ResourceType::Secret | ResourceType::Endpoints | ResourceType::Routes => {
                    let clusters = served.lane(ResourceType::Cluster);
                    self.push_some(resource_type, lane, clusters)
                }
            };
            messages.extend(message);
        }
        // If nothing that refers to clusters was sent or is on its way, stale ones can go at once.
        if self.has_stale_clusters(served) && self.is_referrer_settled() {
            let lane = served.lane(ResourceType::Cluster);
            messages.extend(self.push_all(ResourceType::Cluster, lane, lane.version.clone()));
        }
        messages
    }

    /// Whether the client has said what becomes of everything that is served. What it refused, it
    /// does not run on.
    pub fn is_settled(&self, served: &Served) -> bool {
        let has_asked = [ResourceType::Cluster, ResourceType::Listener]
            .into_iter()
            .all(|resource_type| self.types[resource_type].subscription.is_some());
        let is_answered = PUSH.into_iter().all(|resource_type| {
            let state = &self.types[resource_type];
            state.subscription.is_none()
                || (state.outstanding.is_empty()
                    && state.due.is_empty()
                    && !state.has_news(served.lane(resource_type)))
        });
        let is_refused = PUSH
            .into_iter()
            .any(|resource_type| self.types[resource_type].refused);
        has_asked && is_answered && (is_refused || !self.has_stale_clusters(served))
    }

    /// Clusters first, and with them those that are still referred to.
    fn push_clusters(&mut self, lane: &Lane) -> Option<ServerMessage> {
        let state = &self.types[ResourceType::Cluster];
        let subscription = state.subscription.as_ref()?;
        let changed: Vec<Name> = lane
            .order
            .iter()
            .filter(|name| subscription.wants(name))
            .filter(|name| !state.has(name, &lane.resources[*name]))
            .filter_map(|name| lane.resources[name].endpoints_name().cloned())
            .collect();
        let is_new = state.is_due || state.has_news(lane);
        if !is_new {
            return None;
        }
        let stale: Vec<(Name, (u64, Bytes))> = state
            .sent
            .iter()
            .filter(|(name, _)| !lane.resources.contains_key(*name))
            .map(|(name, sent)| (name.clone(), sent.clone()))
            .collect();
        // A changed cluster warms until its endpoints come, even if they are what they were.
        self.types[ResourceType::Endpoints].due.extend(changed);
        if stale.is_empty() {
            return self.push_all(ResourceType::Cluster, lane, lane.version.clone());
        }
        let state = &mut self.types[ResourceType::Cluster];
        let mut sent = state.target(lane);
        sent.extend(stale);
        let version = version_of(sent.iter().map(|(name, (hash, _))| (name, *hash)));
        let resources = sent.values().map(|(_, bytes)| bytes.clone()).collect();
        state.sent = sent;
        Some(self.respond(ResourceType::Cluster, version, resources))
    }

    /// A type whose responses are complete: what is left out is gone.
    fn push_all(
        &mut self,
        resource_type: ResourceType,
        lane: &Lane,
        version: String,
    ) -> Option<ServerMessage> {
        let state = &mut self.types[resource_type];
        let subscription = state.subscription.as_ref()?;
        let target = state.target(lane);
        let is_same = target.len() == state.sent.len() && !state.has_news(lane);
        if is_same && !state.is_due {
            return None;
        }
        let resources = lane
            .order
            .iter()
            .filter(|name| subscription.wants(name))
            .map(|name| lane.resources[name].bytes.clone())
            .collect();
        state.sent = target;
        state.is_due = false;
        Some(self.respond(resource_type, version, resources))
    }

    /// A type whose responses may be partial: only what is new to the client.
    fn push_some(
        &mut self,
        resource_type: ResourceType,
        lane: &Lane,
        clusters: &Lane,
    ) -> Option<ServerMessage> {
        let state = &mut self.types[resource_type];
        let subscription = state.subscription.clone()?;
        let due = take(&mut state.due);
        let mut resources = Vec::new();
        if resource_type == ResourceType::Endpoints {
            resources = state.absent_endpoints(lane, clusters, &due);
        }
        for name in &lane.order {
            let encoded = &lane.resources[name];
            if subscription.wants(name) && (due.contains(name) || !state.has(name, encoded)) {
                resources.push(encoded.bytes.clone());
                let sent = (encoded.hash, encoded.bytes.clone());
                state.sent.insert(name.clone(), sent);
            }
        }
        if resources.is_empty() {
            return None;
        }
        Some(self.respond(resource_type, lane.version.clone(), resources))
    }

    fn respond(
        &mut self,
        resource_type: ResourceType,
        version: String,
        resources: Vec<Bytes>,
    ) -> ServerMessage {
        self.nonces += 1;
        let state = &mut self.types[resource_type];
        state.is_due = false;
        state.nonce = self.nonces.to_string();
        state.version.clone_from(&version);
        state.outstanding.insert(self.nonces, version.clone());
        while state.outstanding.len() > MAX_OUTSTANDING {
            state.outstanding.pop_first();
        }
        ServerMessage {
            resource_type,
            version,
            nonce: state.nonce.clone(),
            resources,
        }
    }

    fn has_stale_clusters(&self, served: &Served) -> bool {
        let lane = served.lane(ResourceType::Cluster);
        let state = &self.types[ResourceType::Cluster];
        state
            .sent
            .keys()
            .any(|name| !lane.resources.contains_key(name))
    }

    /// Whether the client runs on the newest listeners and routes. While it refuses some, the old
    /// ones are in force, and the clusters they name stay.
    fn is_referrer_settled(&self) -> bool {
        [ResourceType::Listener, ResourceType::Routes]
            .into_iter()
            .map(|resource_type| &self.types[resource_type])
            .all(|state| state.outstanding.is_empty() && !state.refused)
    }
}

impl State {
    fn ask(
        &mut self,
        resource_type: ResourceType,
        names: &BTreeSet<Name>,
    ) -> Result<ServerEvent, TooManyNames> {
        self.wants(resource_type, names)?;
        self.is_due = true;
        if let Some(subscription) = &self.subscription {
            self.due.extend(subscription.names().iter().cloned());
        }
        Ok(ServerEvent::Asked(resource_type))
    }

    /// Takes the names of a request; whether they are others than before. Names asked for anew are
    /// sent even if they were sent before, and those given up are forgotten.
    fn wants(
        &mut self,
        resource_type: ResourceType,
        names: &BTreeSet<Name>,
    ) -> Result<bool, TooManyNames> {
        let mut subscription = self.subscription.clone().unwrap_or_default();
        let new = subscription.update(resource_type, names)?;
        let is_changed = self.subscription.as_ref() != Some(&subscription);
        self.due.extend(new);
        self.sent.retain(|name, _| subscription.wants(name));
        self.due.retain(|name| subscription.wants(name));
        self.subscription = Some(subscription);
        Ok(is_changed)
    }

    /// Strikes a response off the list and returns its version.
    fn answered(&mut self, nonce: &str) -> Option<String> {
        self.outstanding.remove(&nonce.parse().ok()?)
    }

    fn has(&self, name: &Name, encoded: &Encoded) -> bool {
        self.sent
            .get(name)
            .is_some_and(|(hash, _)| *hash == encoded.hash)
    }

    fn has_news(&self, lane: &Lane) -> bool {
        let Some(subscription) = &self.subscription else {
            return false;
        };
        lane.resources
            .iter()
            .any(|(name, encoded)| subscription.wants(name) && !self.has(name, encoded))
    }

    /// What to say about endpoints that are asked for and not there. A client that never had any
    /// would wait for them; one that has some keeps them as long as only a cluster that is about to
    /// go refers to them.
    fn absent_endpoints(
        &mut self,
        lane: &Lane,
        clusters: &Lane,
        due: &BTreeSet<Name>,
    ) -> Vec<Bytes> {
        let names = self.subscription.iter().flat_map(Subscription::names);
        let absent: Vec<Name> = names
            .filter(|name| !lane.resources.contains_key(*name))
            .cloned()
            .collect();
        let mut resources = Vec::new();
        for name in absent {
            let is_referred_to = || {
                let mut clusters = clusters.resources.values();
                clusters.any(|cluster| cluster.endpoints_name() == Some(&name))
            };
            let none = Encoded::no_endpoints(&name);
            match self.sent.get(&name) {
                Some((hash, bytes)) if *hash == none.hash || !is_referred_to() => {
                    if due.contains(&name) {
                        resources.push(bytes.clone());
                    }
                }
                _ => {
                    resources.push(none.bytes.clone());
                    self.sent.insert(name, (none.hash, none.bytes));
                }
            }
        }
        resources
    }

    fn target(&self, lane: &Lane) -> BTreeMap<Name, (u64, Bytes)> {
        let Some(subscription) = &self.subscription else {
            return BTreeMap::new();
        };
        lane.resources
            .iter()
            .filter(|(name, _)| subscription.wants(name))
            .map(|(name, encoded)| (name.clone(), (encoded.hash, encoded.bytes.clone())))
            .collect()
    }
}

use std::collections::{BTreeSet, VecDeque};

use mesh_core::dataplane::{Name, ResourceType};

use super::{
    message::{Answer, ClientMessage, ServerMessage},
    order::{PUSH, PerType},
};

/// The asking side of one aggregated stream, and of the next when it breaks: names, versions and
/// nonces of every type.
///
/// Every response gets exactly one answer, in order, when its fate is known; until then, changes of
/// names carry the version that is in force.
#[derive(Debug, Clone, Default)]
pub struct ClientStream {
    types: PerType<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// None until something was asked for.
    names: Option<BTreeSet<Name>>,
    /// The version in force; it outlives streams.
    version: String,
    /// Of the newest response on this stream.
    nonce: String,
    /// Names were changed since then.
    has_spoken: bool,
    unanswered: VecDeque<Unanswered>,
}

#[derive(Debug, Clone)]
struct Unanswered {
    nonce: String,
    version: String,
    names: Vec<Name>,
}

impl ClientStream {
    /// Starts a stream: nonces of the last one mean nothing any more. Returns what to say first:
    /// all clusters and listeners, and the names of other types that are known already.
    pub fn connect(&mut self) -> Vec<ClientMessage> {
        for resource_type in PUSH {
            let state = &mut self.types[resource_type];
            state.nonce.clear();
            state.has_spoken = false;
            state.unanswered.clear();
        }
        for everything in [ResourceType::Cluster, ResourceType::Listener] {
            self.types[everything].names.get_or_insert_default();
        }
        PUSH.into_iter()
            .filter_map(|resource_type| {
                let names = self.types[resource_type].names.clone()?;
                Some(self.message(resource_type, names, Answer::Subscribe))
            })
            .collect()
    }

    /// Asks for exactly these names; nothing to say if they were asked for already.
    pub fn want(
        &mut self,
        resource_type: ResourceType,
        names: BTreeSet<Name>,
    ) -> Option<ClientMessage> {
        let state = &mut self.types[resource_type];
        let is_known = match &state.names {
            Some(known) => *known == names,
            None => names.is_empty(),
        };
        if is_known {
            return None;
        }
        state.names = Some(names.clone());
        let answer = if state.nonce.is_empty() {
            Answer::Subscribe
        } else {
            state.has_spoken = true;
            Answer::Seen {
                nonce: state.nonce.clone(),
            }
        };
        Some(self.message(resource_type, names, answer))
    }

    /// Notes a response with the names of the resources in it.
    ///
    /// If names were changed before it came, the server may have sent it first and taken the change
    /// for stale; then there is something to say again.
    pub fn receive(&mut self, message: &ServerMessage, names: Vec<Name>) -> Option<ClientMessage> {
        let state = &mut self.types[message.resource_type];
        state.nonce.clone_from(&message.nonce);
        state.unanswered.push_back(Unanswered {
            nonce: message.nonce.clone(),
            version: message.version.clone(),
            names,
        });
        if !std::mem::take(&mut state.has_spoken) {
            return None;
        }
        let nonce = state.nonce.clone();
        let names = state.names.clone()?;
        Some(self.message(message.resource_type, names, Answer::Seen { nonce }))
    }

    /// Answers every response of a type: `refusal` tells for the names of one what is wrong with
    /// them, if anything is.
    pub fn answer(
        &mut self,
        resource_type: ResourceType,
        refusal: impl Fn(&[Name]) -> Option<String>,
    ) -> Vec<ClientMessage> {
        let mut answers = Vec::new();
        let Some(names) = self.types[resource_type].names.clone() else {
            return answers;
        };
        while let Some(response) = self.types[resource_type].unanswered.pop_front() {
            let nonce = response.nonce;
            let answer = match refusal(&response.names) {
                Some(detail) => Answer::Refused { nonce, detail },
                None => {
                    self.types[resource_type].version = response.version;
                    Answer::Seen { nonce }
                }
            };
            answers.push(self.message(resource_type, names.clone(), answer));
        }
        answers
    }

    /// Whether a response of any type waits for its answer.
    pub fn owes_answers(&self) -> bool {
        PUSH.into_iter()
            .any(|resource_type| !self.types[resource_type].unanswered.is_empty())
    }

    fn message(
        &self,
        resource_type: ResourceType,
        names: BTreeSet<Name>,
        answer: Answer,
    ) -> ClientMessage {
        ClientMessage {
            resource_type,
            names,
            version: self.types[resource_type].version.clone(),
            answer,
        }
    }
}

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use mesh_core::dataplane::{Name, ResourceType, Snapshot, Verdict};

use super::{
    assembly::{Assembly, Completeness},
    client_stream::ClientStream,
    message::{ClientMessage, ServerMessage},
    order::PUSH,
};

/// The asking side as a whole: responses in; requests, snapshots and answers out.
#[derive(Debug, Default)]
pub struct Follower {
    stream: ClientStream,
    assembly: Assembly,
    outgoing: VecDeque<ClientMessage>,
    exposed: Option<Arc<Snapshot>>,
    /// What the proxy refused of the exposed snapshot.
    refused: BTreeMap<(ResourceType, Name), String>,
    has_news: bool,
}

/// What a follower has to offer.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A new plan, to be answered by [`Follower::reply`].
    Update(Arc<Snapshot>),
    /// Nothing before something arrives, or before the time given.
    Idle(Option<Instant>),
}

impl Follower {
    /// The types whose names follow from other resources.
    const REFERRED: [ResourceType; 3] = [
        ResourceType::Endpoints,
        ResourceType::Routes,
        ResourceType::Secret,
    ];
    /// The most that is said about one refused response.
    const MAX_DETAIL_LEN: usize = 4096;

    /// A follower that never asks for these secrets.
    pub fn new(own_secrets: impl IntoIterator<Item = Name>) -> Self {
        Self {
            assembly: Assembly::new(own_secrets),
            ..Self::default()
        }
    }

    /// A stream is open: says first what must be said first.
    pub fn connected(&mut self) {
        self.outgoing = self.stream.connect().into();
    }

    /// The next message to send.
    pub fn outgoing(&mut self) -> Option<ClientMessage> {
        self.outgoing.pop_front()
    }

    /// Takes a response in.
    pub fn receive(&mut self, message: &ServerMessage) {
        let names = self.assembly.take(message);
        for name in &names {
            self.refused.remove(&(message.resource_type, name.clone()));
        }
        self.outgoing.extend(self.stream.receive(message, names));
        self.has_news = true;
        for resource_type in Self::REFERRED {
            let wanted = self.assembly.wanted(resource_type);
            self.outgoing
                .extend(self.stream.want(resource_type, wanted));
        }
    }

    /// Whether there is a new plan by now. Responses that change nothing are answered at once.
    pub fn progress(&mut self, now: Instant) -> Progress {
        if !self.has_news {
            return Progress::Idle(None);
        }
        match self.assembly.completeness(now) {
            Completeness::Silent => return Progress::Idle(None),
            Completeness::Until(time) => return Progress::Idle(Some(time)),
            Completeness::Whole => {}
        }
        self.has_news = false;
        let snapshot = Arc::new(self.assembly.snapshot());
        if let Some(exposed) = &self.exposed
            && same_resources(exposed, &snapshot)
        {
            self.answer();
            return Progress::Idle(None);
        }
        self.exposed = Some(snapshot.clone());
        Progress::Update(snapshot)
    }

    /// Answers what went into the last plan. What decoding refused, the proxy never saw.
    pub fn reply(&mut self, verdict: &Verdict) {
        self.refused = verdict
            .refusals
            .iter()
            .map(|refusal| {
                let key = (refusal.resource_type, refusal.name.clone());
                (key, refusal.reason.clone())
            })
            .collect();
        self.answer();
    }

    fn answer(&mut self) {
        self.assembly.drop_unwanted();
        for resource_type in PUSH {
            let answers = self.stream.answer(resource_type, |names| {
                detail(resource_type, names, &self.assembly, &self.refused)
            });
            self.outgoing.extend(answers);
        }
    }
}

/// What is wrong with a response, all its bad resources named.
fn detail(
    resource_type: ResourceType,
    names: &[Name],
    assembly: &Assembly,
    refused: &BTreeMap<(ResourceType, Name), String>,
) -> Option<String> {
    let reasons: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let reason = assembly
                .refusal(resource_type, name)
                .or_else(|| Some(refused.get(&(resource_type, name.clone()))?.as_str()))?;
            Some(format!("{resource_type} {name}: {reason}"))
        })
        .collect();
    let mut detail = reasons.join("\n");
    if let Some((cut, _)) = detail.char_indices().nth(Follower::MAX_DETAIL_LEN) {
        detail.truncate(cut);
    }
    (!detail.is_empty()).then_some(detail)
}

/// Resources that did not change keep their `Arc`, so comparing is cheap where it matters.
fn same_resources(a: &Snapshot, b: &Snapshot) -> bool {
    fn same<T>(a: &BTreeMap<Name, Arc<T>>, b: &BTreeMap<Name, Arc<T>>) -> bool {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|((a_name, a), (b_name, b))| a_name == b_name && Arc::ptr_eq(a, b))
    }
    a.listeners.len() == b.listeners.len()
        && a.listeners
            .iter()
            .zip(&b.listeners)
            .all(|(a, b)| Arc::ptr_eq(a, b))
        && same(&a.routes, &b.routes)
        && same(&a.clusters, &b.clusters)
        && same(&a.endpoints, &b.endpoints)
        && same(&a.secrets, &b.secrets)
}

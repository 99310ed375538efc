//! What proxies on both ends tell of a request.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use mesh_core::identity::SpiffeId;
use mesh_proxy::telemetry::{Observer, RequestRecord, Side};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The query parameter that tells one request of a walk from all others.
const MARK: &str = "walk";
/// A request is told of once on either side, and again where it goes through more proxies.
const MAX_SIGHTINGS: usize = 16;

/// Collects what proxies tell of the requests of a walk, and lets all others pass by.
#[derive(Debug, Default)]
pub struct Witness {
    waiting: Mutex<HashMap<u64, Sender<Sighting>>>,
}

/// One proxy's account of a request.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) side: Side,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    /// Envoy's short reasons, `-` for none.
    pub(super) flags: String,
    pub(super) details: String,
    pub(super) transport_failure: Option<String>,
    /// Who called, by certificate.
    pub(super) caller: Option<SpiffeId>,
    pub(super) mutual: bool,
    pub(super) cluster: Option<String>,
    pub(super) address: Option<SocketAddr>,
    /// Who was called, by certificate.
    pub(super) called: Option<SpiffeId>,
    pub(super) attempts: u32,
}

/// Waits for sightings of one request. Dropped, nobody waits any longer.
pub(super) struct Watch<'a> {
    witness: &'a Witness,
    mark: u64,
    sightings: Receiver<Sighting>,
}

impl Witness {
    /// Waits for sightings of the request with this mark.
    pub(super) fn watch(&self, mark: u64) -> Watch<'_> {
        let (sender, sightings) = channel(MAX_SIGHTINGS);
        self.waiting().insert(mark, sender);
        Watch {
            witness: self,
            mark,
            sightings,
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Sender<Sighting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The query that carries a mark, beside what else it holds.
pub(super) fn marked(query: &str, mark: u64) -> String {
    match query {
        "" => format!("{MARK}={mark}"),
        query => format!("{query}&{MARK}={mark}"),
    }
}

fn mark_of(query: &str) -> Option<u64> {
    let last = query.rsplit('&').next()?;
    last.strip_prefix(MARK)?.strip_prefix('=')?.parse().ok()
}

impl Observer for Witness {
    fn request(&self, record: &RequestRecord) {
        let Some(mark) = record.uri.query().and_then(mark_of) else {
            return;
        };
        let Some(sender) = self.waiting().get(&mark).cloned() else {
            return;
        };
        // Whoever asks for more sightings than fit learns of the first ones.
        let _ = sender.try_send(Sighting::of(record));
    }
}

impl Sighting {
    fn of(record: &RequestRecord) -> Self {
        let upstream = record.upstream.as_ref();
        let identity = |principal: &mesh_proxy::telemetry::Principal| principal.0.clone();
        Self {
            side: record.side,
            path: record.uri.path().to_owned(),
            status: record.status.map(|status| status.as_u16()),
            flags: record.flags.to_string(),
            details: record.details.to_string(),
            transport_failure: record.transport_failure.clone(),
            caller: record.connection.peer.as_deref().and_then(identity),
            mutual: record.connection.mutual_tls,
            cluster: upstream.map(|upstream| upstream.cluster.to_string()),
            address: upstream.and_then(|upstream| upstream.address),
            called: upstream
                .and_then(|upstream| upstream.peer.as_deref())
                .and_then(identity),
            attempts: record.attempts,
        }
    }

    /// Whether one of Envoy's short reasons is told.
    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(',').any(|known| known == flag)
    }

    /// Whether the answer came from further on.
    pub(super) fn is_answered(&self) -> bool {
        self.details == "via_upstream"
    }
}

impl Watch<'_> {
    /// The next sighting.
    pub(super) async fn next(&mut self) -> Option<Sighting> {
        self.sightings.recv().await
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.witness.waiting().remove(&self.mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back() {
        for query in ["", "a=b", "walk=1", "x&y=&z"] {
            assert_eq!(mark_of(&marked(query, 7)), Some(7), "{query}");
        }
        for other in ["", "a=b", "walk=", "walk=x", "walk=1&a=b", "sidewalk=1"] {
            assert_eq!(mark_of(other), None, "{other}");
        }
    }
}

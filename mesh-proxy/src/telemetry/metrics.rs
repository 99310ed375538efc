//! Istio's standard metrics, counted per worker and merged when somebody asks.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use mesh_core::{
    dataplane::{Node, ServiceRef},
    identity::SpiffeId,
};

use super::{Interned, PeerLabels, Principal, RequestRecord, Side};
use crate::http::ResponseFlags;

/// Upper bounds of the duration histogram, in milliseconds: Envoy's defaults.
pub const DURATION_BUCKETS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// One worker's counts. A request finds its series by a key of small numbers; labels are only put
/// together when a series is seen for the first time.
#[derive(Debug, Default)]
pub(crate) struct MetricTable {
    index: HashMap<Key, usize>,
    series: Vec<(SeriesLabels, SeriesCounts)>,
}

/// What tells series apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    side: Side,
    peer: Option<Interned<PeerLabels>>,
    principal: Option<Interned<Principal>>,
    service: Option<Interned<ServiceRef>>,
    status: u16,
    grpc_status: Option<u8>,
    grpc: bool,
    flags: ResponseFlags,
    mutual_tls: bool,
}

/// Labels of a series, by Istio's names and in Istio's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesLabels(pub Vec<(&'static str, String)>);

/// Counts of a series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesCounts {
    /// Requests.
    pub requests: u64,
    /// Sum of durations.
    pub duration: Duration,
    /// Requests by duration, not cumulative; the last is beyond all bounds.
    pub buckets: [u64; DURATION_BUCKETS_MS.len() + 1],
    /// Bytes of requests' bodies.
    pub request_bytes: u64,
    /// Bytes of answers' bodies.
    pub response_bytes: u64,
}

/// Who a proxy counts for.
#[derive(Debug, Clone)]
pub(crate) struct OwnLabels {
    pub(crate) labels: PeerLabels,
    pub(crate) principal: Option<SpiffeId>,
}

impl MetricTable {
    /// Counts a request that is over.
    pub(crate) fn count(&mut self, own: &OwnLabels, record: &RequestRecord) {
        let key = Key::of(record);
        let index = match self.index.get(&key) {
            Some(&index) => index,
            None => {
                self.series
                    .push((labels(own, &key), SeriesCounts::default()));
                self.index.insert(key, self.series.len() - 1);
                self.series.len() - 1
            }
        };
        self.series[index].1.add(record);
    }

    /// A copy of all counts.
    pub(crate) fn snapshot(&self) -> Vec<(SeriesLabels, SeriesCounts)> {
        self.series.clone()
    }
}

impl Key {
    fn of(record: &RequestRecord) -> Self {
        let upstream = record.upstream.as_ref();
        let (peer, principal) = match record.side {
            Side::Source => (
                upstream.and_then(|upstream| upstream.workload.clone()),
                upstream.and_then(|upstream| upstream.peer.clone()),
            ),
            Side::Destination => (record.source.clone(), record.connection.peer.clone()),
        };
        Self {
            side: record.side,
            peer,
            principal,
            service: upstream.and_then(|upstream| upstream.service.clone()),
            status: record.status.map_or(0, |status| status.as_u16()),
            grpc_status: record.grpc_status.filter(|_| record.grpc),
            grpc: record.grpc,
            flags: record.flags,
            mutual_tls: record.connection.mutual_tls,
        }
    }
}

impl SeriesCounts {
    fn add(&mut self, record: &RequestRecord) {
        let ms = record.duration.as_secs_f64() * 1_000.0;
        self.requests += 1;
        self.duration += record.duration;
        self.buckets[DURATION_BUCKETS_MS.partition_point(|&bound| bound < ms)] += 1;
        self.request_bytes += record.bytes_received;
        self.response_bytes += record.bytes_sent;
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.duration += other.duration;
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}

/// Adds up what workers counted.
pub(crate) fn merge(
    tables: impl IntoIterator<Item = Vec<(SeriesLabels, SeriesCounts)>>,
) -> BTreeMap<SeriesLabels, SeriesCounts> {
    let mut merged: BTreeMap<_, SeriesCounts> = BTreeMap::new();
    for (labels, counts) in tables.into_iter().flatten() {
        merged.entry(labels).or_default().merge(&counts);
    }
    merged
}

/// What Istio writes where it knows nothing.
const UNKNOWN: &str = "unknown";

fn labels(own: &OwnLabels, key: &Key) -> SeriesLabels {
    let stranger = PeerLabels {
        canonical_revision: "latest".into(),
        ..PeerLabels::default()
    };
    let peer = key.peer.as_deref().unwrap_or(&stranger);
    let peer_principal = key
        .principal
        .as_ref()
        .and_then(|principal| principal.0.as_ref());
    let mutual = match key.side {
        Side::Source => peer_principal.is_some(),
        Side::Destination => key.mutual_tls,
    };
    let own_principal = own.principal.as_ref().filter(|_| mutual);
    let (reporter, security) = match (key.side, mutual) {
        (Side::Source, _) => ("source", UNKNOWN),
        (Side::Destination, true) => ("destination", "mutual_tls"),
        (Side::Destination, false) => ("destination", "none"),
    };
    let (source, destination) = match key.side {
        Side::Source => ((&own.labels, own_principal), (peer, peer_principal)),
        Side::Destination => ((peer, peer_principal), (&own.labels, own_principal)),
    };
    let service = key.service.as_deref();
    let known = |text: &str| if text.is_empty() { UNKNOWN } else { text }.to_owned();
    let principal = |id: Option<&SpiffeId>| id.map_or(UNKNOWN, SpiffeId::as_str).to_owned();
    let of_service = |part: fn(&ServiceRef) -> &str| known(service.map_or("", part));
    SeriesLabels(vec![
        ("reporter", reporter.to_owned()),
        ("source_workload", known(&source.0.workload)),
        ("source_canonical_service", known(&source.0.canonical_name)),
        (
            "source_canonical_revision",
            known(&source.0.canonical_revision),
        ),
        ("source_workload_namespace", known(&source.0.namespace)),
        ("source_principal", principal(source.1)),
        ("source_app", known(&source.0.app)),
        ("source_version", known(&source.0.version)),
        ("source_cluster", known(&source.0.cluster)),
        ("destination_workload", known(&destination.0.workload)),
        (
            "destination_workload_namespace",
            known(&destination.0.namespace),
        ),
        ("destination_principal", principal(destination.1)),
        ("destination_app", known(&destination.0.app)),
        ("destination_version", known(&destination.0.version)),
        ("destination_service", of_service(|service| &service.host)),
        (
            "destination_canonical_service",
            known(&destination.0.canonical_name),
        ),
        (
            "destination_canonical_revision",
            known(&destination.0.canonical_revision),
        ),
        (
            "destination_service_name",
            of_service(|service| &service.name),
        ),
        (
            "destination_service_namespace",
            of_service(|service| &service.namespace),
        ),
        ("destination_cluster", known(&destination.0.cluster)),
        (
            "request_protocol",
            if key.grpc { "grpc" } else { "http" }.to_owned(),
        ),
        ("response_code", key.status.to_string()),
        (
            "grpc_response_status",
            key.grpc_status
                .map(|code| code.to_string())
                .unwrap_or_default(),
        ),
        ("response_flags", key.flags.to_string()),
        ("connection_security_policy", security.to_owned()),
    ])
}

impl OwnLabels {
    pub(crate) fn of(node: &Node, principal: Option<SpiffeId>) -> Self {
        Self {
            labels: PeerLabels::of(node),
            principal,
        }
    }
}

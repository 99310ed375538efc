//! Istio's standard metrics, counted per worker and merged when somebody asks.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use mesh_core::{
    dataplane::{Node, ServiceRef},
    identity::SpiffeId,
};

use super::{Interned, PeerLabels, Principal, RequestRecord, Side, TcpRecord};
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
    requests: Table<SeriesCounts>,
    connections: Table<TcpCounts>,
}

#[derive(Debug)]
struct Table<C> {
    index: HashMap<Key, usize>,
    series: Vec<(SeriesLabels, C)>,
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
    protocol: Protocol,
    flags: ResponseFlags,
    mutual_tls: bool,
}

/// Istio's `request_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Protocol {
    Http,
    Grpc,
    Tcp,
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

/// Counts of a series of connections whose bytes are passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Connections that began.
    pub opened: u64,
    /// Connections that are over.
    pub closed: u64,
    /// Bytes from callers.
    pub received: u64,
    /// Bytes to callers.
    pub sent: u64,
}

/// What can be added up over workers.
pub(crate) trait Counts: Default {
    /// Adds another worker's.
    fn merge(&mut self, other: &Self);
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
        self.requests.entry(Key::of(record), own).add(record);
    }

    /// Counts a connection whose bytes are passed on from now on.
    pub(crate) fn count_opened(&mut self, own: &OwnLabels, record: &TcpRecord) {
        self.connections.entry(Key::of_tcp(record), own).opened += 1;
    }

    /// Counts a connection that is over.
    pub(crate) fn count_closed(&mut self, own: &OwnLabels, record: &TcpRecord) {
        let counts = self.connections.entry(Key::of_tcp(record), own);
        counts.closed += 1;
        counts.received += record.bytes_received;
        counts.sent += record.bytes_sent;
    }

    /// A copy of what was counted of requests.
    pub(crate) fn snapshot(&self) -> Vec<(SeriesLabels, SeriesCounts)> {
        self.requests.series.clone()
    }

    /// A copy of what was counted of connections.
    pub(crate) fn tcp_snapshot(&self) -> Vec<(SeriesLabels, TcpCounts)> {
        self.connections.series.clone()
    }
}

impl<C: Default> Table<C> {
    fn entry(&mut self, key: Key, own: &OwnLabels) -> &mut C {
        let index = match self.index.get(&key) {
            Some(&index) => index,
            None => {
                self.series.push((labels(own, &key), C::default()));
                self.index.insert(key, self.series.len() - 1);
                self.series.len() - 1
            }
        };
        &mut self.series[index].1
    }
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            series: Vec::new(),
        }
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
            protocol: if record.grpc {
                Protocol::Grpc
            } else {
                Protocol::Http
            },
            flags: record.flags,
            mutual_tls: record.connection.mutual_tls,
        }
    }

    fn of_tcp(record: &TcpRecord) -> Self {
        let upstream = record.upstream.as_ref();
        let (peer, principal) = match record.side {
            Side::Source => (
                upstream.and_then(|upstream| upstream.workload.clone()),
                upstream.and_then(|upstream| upstream.peer.clone()),
            ),
            Side::Destination => (None, record.connection.peer.clone()),
        };
        Self {
            side: record.side,
            peer,
            principal,
            service: upstream.and_then(|upstream| upstream.service.clone()),
            status: 0,
            grpc_status: None,
            protocol: Protocol::Tcp,
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
}

impl Counts for TcpCounts {
    fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.received += other.received;
        self.sent += other.sent;
    }
}

impl Counts for SeriesCounts {
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
pub(crate) fn merge<C: Counts>(
    tables: impl IntoIterator<Item = Vec<(SeriesLabels, C)>>,
) -> BTreeMap<SeriesLabels, C> {
    let mut merged: BTreeMap<_, C> = BTreeMap::new();
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
    let mut labels = vec![
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
        ("request_protocol", key.protocol.name().to_owned()),
    ];
    if key.protocol != Protocol::Tcp {
        let grpc = key.grpc_status.map(|code| code.to_string());
        labels.push(("response_code", key.status.to_string()));
        labels.push(("grpc_response_status", grpc.unwrap_or_default()));
    }
    labels.push(("response_flags", key.flags.to_string()));
    labels.push(("connection_security_policy", security.to_owned()));
    SeriesLabels(labels)
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

impl OwnLabels {
    pub(crate) fn of(node: &Node, principal: Option<SpiffeId>) -> Self {
        Self {
            labels: PeerLabels::of(node),
            principal,
        }
    }
}

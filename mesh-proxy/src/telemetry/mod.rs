//! What is told of traffic: one record per request and per connection, reported once, at the end.

mod access_log;
mod attributes;
mod format;
mod intern;
mod metrics;
mod observer;
mod peer_metadata;
pub(crate) mod prometheus;
mod record;
mod sink;
mod tcp_record;
mod told;

pub(crate) use access_log::{CompiledAccessLog, LogBuffer};
pub use intern::Interned;
pub(crate) use intern::Interner;
pub use metrics::{DURATION_BUCKETS_MS, SeriesCounts, SeriesLabels, TcpCounts};
pub(crate) use metrics::{MetricTable, OwnLabels, merge};
pub use observer::Observer;
pub(crate) use peer_metadata::{PeerMetadata, PeerMetadataHeaders};
pub use record::{ConnectionRecord, PeerLabels, Principal, RequestRecord, Side, UpstreamRecord};
pub(crate) use sink::LogSinks;
pub use sink::LogTarget;
pub use tcp_record::TcpRecord;
pub(crate) use told::Told;

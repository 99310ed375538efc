use std::time::{Duration, SystemTime};

use super::{ConnectionRecord, RequestRecord, TcpRecord, UpstreamRecord};
use crate::http::ResponseFlags;

/// What a log line is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    Request(&'a RequestRecord),
    Connection(&'a TcpRecord),
}

impl<'a> Told<'a> {
    /// The request, if it is about one.
    pub(super) fn request(self) -> Option<&'a RequestRecord> {
        match self {
            Self::Request(record) => Some(record),
            Self::Connection(_) => None,
        }
    }

    pub(super) fn start(self) -> SystemTime {
        match self {
            Self::Request(record) => record.start,
            Self::Connection(record) => record.start,
        }
    }

    pub(super) fn duration(self) -> Duration {
        match self {
            Self::Request(record) => record.duration,
            Self::Connection(record) => record.duration,
        }
    }

    pub(super) fn flags(self) -> ResponseFlags {
        match self {
            Self::Request(record) => record.flags,
            Self::Connection(record) => record.flags,
        }
    }

    pub(super) fn details(self) -> &'a str {
        match self {
            Self::Request(record) => &record.details,
            Self::Connection(record) => &record.details,
        }
    }

    /// Why a connection was ended that nothing was wrong with but itself.
    pub(super) fn termination(self) -> Option<&'a str> {
        match self {
            Self::Request(_) => None,
            Self::Connection(record) => record.termination.as_deref(),
        }
    }

    pub(super) fn transport_failure(self) -> Option<&'a str> {
        match self {
            Self::Request(record) => record.transport_failure.as_deref(),
            Self::Connection(record) => record.transport_failure.as_deref(),
        }
    }

    /// Bytes from the caller and to the caller.
    pub(super) fn bytes(self) -> (u64, u64) {
        match self {
            Self::Request(record) => (record.bytes_received, record.bytes_sent),
            Self::Connection(record) => (record.bytes_received, record.bytes_sent),
        }
    }

    pub(super) fn upstream(self) -> Option<&'a UpstreamRecord> {
        match self {
            Self::Request(record) => record.upstream.as_ref(),
            Self::Connection(record) => record.upstream.as_ref(),
        }
    }

    pub(super) fn connection(self) -> &'a ConnectionRecord {
        match self {
            Self::Request(record) => &record.connection,
            Self::Connection(record) => &record.connection,
        }
    }
}

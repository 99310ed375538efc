use std::{
    borrow::Cow,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use super::{ConnectionRecord, Side, UpstreamRecord};
use crate::http::{Failure, ResponseFlags};

/// Everything worth telling about a connection whose bytes were passed on, or that was turned away:
/// collected on its way and reported once.
#[derive(Debug)]
pub struct TcpRecord {
    /// When it came.
    pub start: SystemTime,
    started: Instant,
    /// How long it lasted.
    pub duration: Duration,
    /// Which side of the call this proxy was on.
    pub side: Side,
    /// The connection itself.
    pub connection: Rc<ConnectionRecord>,
    /// What went wrong, in short.
    pub flags: ResponseFlags,
    /// How that came about, as Envoy words it.
    pub details: Cow<'static, str>,
    /// Why it was ended by this proxy, if it was.
    pub termination: Option<Cow<'static, str>>,
    /// What the network said of a failed upstream connection.
    pub transport_failure: Option<String>,
    /// Bytes from the caller.
    pub bytes_received: u64,
    /// Bytes to the caller.
    pub bytes_sent: u64,
    /// Where it was passed on to.
    pub upstream: Option<UpstreamRecord>,
    /// Whether its opening was counted already.
    pub(crate) counted_open: bool,
}

impl TcpRecord {
    /// Starts a record.
    pub(crate) fn begin(connection: Rc<ConnectionRecord>) -> Self {
        Self {
            start: SystemTime::now(),
            started: Instant::now(),
            duration: Duration::ZERO,
            side: Side::of(connection.direction),
            connection,
            flags: ResponseFlags::default(),
            details: Cow::Borrowed(""),
            termination: None,
            transport_failure: None,
            bytes_received: 0,
            bytes_sent: 0,
            upstream: None,
            counted_open: false,
        }
    }

    /// It could not be passed on.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.flags.insert(failure.flags());
        self.details = failure.details();
        self.transport_failure = failure.transport_reason().map(str::to_owned);
    }

    /// It is over.
    pub(crate) fn end(&mut self) {
        self.duration = self.started.elapsed();
    }
}

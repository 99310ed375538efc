//! When a connection without requests is closed: one slow timer per connection, none per request.

use std::{
    cell::Cell,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use mesh_core::dataplane::{Cluster, HttpConnectionManager};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection is doing, as far as closing it is concerned.
#[derive(Debug)]
pub(crate) struct Activity {
    under_way: Cell<u32>,
    since: Cell<Instant>,
    read: Arc<AtomicBool>,
    wrote: Arc<AtomicBool>,
}

/// How long a connection may do nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleLimits {
    /// From the first byte of a request to the end of its headers; also from accepting a connection
    /// to its first request.
    headers: Duration,
    /// Between requests.
    idle: Duration,
}

/// Notices that bytes came in, or went out.
pub(super) struct Metered<IO> {
    io: IO,
    read: Arc<AtomicBool>,
    wrote: Arc<AtomicBool>,
}

/// A connection that was told to end, and that carries no request, may do nothing for so long.
const LINGER: Duration = Duration::from_secs(5);

impl IdleLimits {
    /// Headers must be there by then, whether the configuration says so or not (slowloris).
    const HEADERS: Duration = Duration::from_secs(15);

    pub(super) fn of(planned: &HttpConnectionManager) -> Self {
        Self {
            headers: planned.request_headers_timeout.unwrap_or(Self::HEADERS),
            idle: planned.idle_timeout.unwrap_or(Cluster::IDLE_TIMEOUT),
        }
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        let since = Cell::new(Instant::now());
        Self {
            under_way: Cell::new(0),
            since,
            read: Arc::new(AtomicBool::new(true)),
            wrote: Arc::default(),
        }
    }

    /// A request's headers are complete.
    pub(super) fn request_began(&self) {
        self.under_way.set(self.under_way.get() + 1);
    }

    /// A request's answer is complete.
    pub(super) fn request_ended(&self, at: Instant) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
        self.since.set(at);
        self.read.store(false, Relaxed);
    }

    /// Notes reads and writes from now on.
    pub(super) fn meter<IO>(&self, io: IO) -> Metered<IO> {
        Metered {
            io,
            read: Arc::clone(&self.read),
            wrote: Arc::clone(&self.wrote),
        }
    }

    /// Lets a connection that was told to end do so, for as long as there are requests under way
    /// or answers leave it. A caller that never completes what it began must not hold it.
    pub(super) async fn end(&self, serving: impl Future) {
        tokio::select! {
            _ = serving => {}
            () = self.done_for(LINGER) => {}
        }
    }

    async fn done_for(&self, span: Duration) {
        loop {
            let watched = self.since.get();
            self.wrote.store(false, Relaxed);
            tokio::time::sleep(span).await;
            let silent = self.under_way.get() == 0 && self.since.get() == watched;
            if silent && !self.wrote.load(Relaxed) {
                return;
            }
        }
    }

    /// Waits until the connection has done nothing for too long.
    pub(super) async fn idle_for(&self, limits: IdleLimits) {
        loop {
            let watched = self.since.get();
            tokio::time::sleep(limits.headers.min(limits.idle)).await;
            let silent = self.under_way.get() == 0 && self.since.get() == watched;
            let stuck_in_headers = self.read.load(Relaxed);
            if silent && (stuck_in_headers || watched.elapsed() >= limits.idle) {
                return;
            }
        }
    }
}

impl<IO> Metered<IO> {
    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        if written.is_ready() {
            self.wrote.store(true, Relaxed);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Metered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if polled.is_ready() {
            self.read.store(true, Relaxed);
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Metered<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.note_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: IdleLimits = IdleLimits {
        headers: Duration::from_millis(10),
        idle: Duration::from_millis(30),
    };

    #[tokio::test]
    async fn a_connection_that_never_asks_is_closed_early() {
        let (activity, start) = (Activity::new(), Instant::now());
        activity.idle_for(LIMITS).await;
        assert!(start.elapsed() < LIMITS.idle);
    }

    #[tokio::test]
    async fn a_connection_between_requests_is_kept_longer() {
        let (activity, start) = (Activity::new(), Instant::now());
        activity.request_began();
        activity.request_ended(start);
        activity.idle_for(LIMITS).await;
        assert!(start.elapsed() >= LIMITS.idle);
    }

    #[tokio::test]
    async fn what_was_told_to_end_waits_for_requests_only() {
        let activity = Activity::new();
        activity.done_for(LIMITS.headers).await;
        activity.request_began();
        let waited = tokio::time::timeout(LIMITS.idle, activity.done_for(LIMITS.headers)).await;
        assert!(waited.is_err());
    }

    #[tokio::test]
    async fn a_request_under_way_keeps_it() {
        let activity = Activity::new();
        activity.request_began();
        let waited = tokio::time::timeout(LIMITS.idle * 3, activity.idle_for(LIMITS)).await;
        assert!(waited.is_err());
    }
}

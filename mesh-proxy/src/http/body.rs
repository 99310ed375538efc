//! Bodies on their way: towards the caller, counted until the last byte; towards the destination,
//! kept as far as a retry may need them.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// Why a body ended early.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way to the caller.
pub(crate) struct ProxyBody {
    source: Source,
    deadline: Option<Pin<Box<Sleep>>>,
    silence: Option<Silence>,
    watch: Option<Box<dyn WatchBody>>,
}

/// Notices that nothing moves.
struct Silence {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + limit));
        Self { limit, timer }
    }

    fn broken(&mut self) {
        self.timer.as_mut().reset(Instant::now() + self.limit);
    }
}

enum Source {
    Empty,
    Full(Option<Bytes>),
    Upstream(Incoming),
}

/// Learns how a body went. Told exactly once how it ended.
pub(crate) trait WatchBody {
    /// Bytes passed.
    fn passed(&mut self, bytes: usize);
    /// Trailers passed.
    fn trailers(&mut self, trailers: &HeaderMap);
    /// It ended.
    fn ended(&mut self, end: BodyEnd);
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With its last byte.
    Complete,
    /// The destination broke off.
    UpstreamReset,
    /// Its time was over.
    Timeout,
    /// Nothing moved for too long.
    Idle,
    /// The caller went away.
    CallerGone,
}

impl ProxyBody {
    pub(crate) fn empty() -> Self {
        Self {
            source: Source::Empty,
            deadline: None,
            silence: None,
            watch: None,
        }
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let source = if bytes.is_empty() {
            Source::Empty
        } else {
            Source::Full(Some(bytes))
        };
        Self {
            source,
            deadline: None,
            silence: None,
            watch: None,
        }
    }

    /// What the destination sends, until `deadline` and never silent for longer than `idle`, if
    /// there are such limits.
    pub(crate) fn upstream(
        body: Incoming,
        deadline: Option<Instant>,
        idle: Option<Duration>,
    ) -> Self {
        Self {
            source: Source::Upstream(body),
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
            silence: idle.map(Silence::new),
            watch: None,
        }
    }

    /// Tells `watch` how it goes.
    pub(crate) fn watched_by(mut self, watch: Box<dyn WatchBody>) -> Self {
        self.watch = Some(watch);
        self
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(mut watch) = self.watch.take() {
            watch.ended(end);
        }
    }

    /// Ready when a limit is reached.
    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<BodyEnd> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(BodyEnd::Timeout);
        }
        if let Some(silence) = &mut self.silence
            && silence.timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(BodyEnd::Idle);
        }
        Poll::Pending
    }

    fn see(&mut self, frame: &Frame<Bytes>) {
        let Some(watch) = &mut self.watch else { return };
        if let Some(data) = frame.data_ref() {
            watch.passed(data.len());
        } else if let Some(trailers) = frame.trailers_ref() {
            watch.trailers(trailers);
        }
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream(body) => Pin::new(body).poll_frame(context),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.see(&frame);
                if let Some(silence) = &mut self.silence {
                    silence.broken();
                }
                if self.is_end_stream() {
                    self.end(BodyEnd::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(BodyEnd::UpstreamReset);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.end(BodyEnd::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let end = ready!(self.poll_limits(context));
                self.end(end);
                Poll::Ready(Some(Err("the time for the answer is over".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Full(None) => true,
            Source::Full(Some(_)) => false,
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Full(None) => SizeHint::with_exact(0),
            Source::Full(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

/// A body that ends without being asked for more (an answer to HEAD, or 304) is complete; anything
/// else that is dropped was broken off by the caller.
impl Drop for ProxyBody {
    fn drop(&mut self) {
        let complete = self.is_end_stream() || matches!(self.source, Source::Full(_));
        self.end(if complete {
            BodyEnd::Complete
        } else {
            BodyEnd::CallerGone
        });
    }
}

/// A request's body, which more than one attempt may send.
#[derive(Clone)]
pub(crate) struct RequestBody(Rc<Shared>);

struct Shared {
    source: RefCell<Option<Incoming>>,
    seen: RefCell<Vec<Frame<Bytes>>>,
    seen_bytes: Cell<usize>,
    keep: Cell<usize>,
    received: Cell<u64>,
    ended: Cell<bool>,
    broken: Cell<bool>,
}

impl RequestBody {
    /// The most a body may grow before it is no longer kept for another attempt, in bytes.
    pub(crate) const REPLAY_LIMIT: usize = 64 * 1024;

    /// A body; `replayable` keeps what is sent, so that another attempt can send it again.
    pub(crate) fn new(body: Incoming, replayable: bool) -> Self {
        let ended = body.is_end_stream();
        Self(Rc::new(Shared {
            source: RefCell::new((!ended).then_some(body)),
            seen: RefCell::default(),
            seen_bytes: Cell::new(0),
            keep: Cell::new(if replayable { Self::REPLAY_LIMIT } else { 0 }),
            received: Cell::new(0),
            ended: Cell::new(ended),
            broken: Cell::new(false),
        }))
    }

    /// Whether there are no bytes and there will be none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.ended.get() && self.0.seen.borrow().is_empty()
    }

    /// Whether another attempt would send the same bytes.
    pub(crate) fn can_replay(&self) -> bool {
        let untouched = self.0.received.get() == 0;
        !self.is_broken() && (untouched || self.0.keep.get() > 0)
    }

    /// Whether the caller broke it off, or sent what cannot be read. What came of it is not what
    /// was meant, and no instance's fault.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.broken.get()
    }

    /// Whether nothing more will come from the caller.
    pub(crate) fn is_over(&self) -> bool {
        self.0.ended.get()
    }

    /// Bytes that came from the caller so far.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.get()
    }

    /// The body for one attempt.
    pub(crate) fn attempt(&self) -> AttemptBody {
        if self.is_empty() {
            return AttemptBody(None);
        }
        AttemptBody(Some(Replay {
            shared: self.0.clone(),
            next: 0,
        }))
    }
}

impl Shared {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut source = self.source.borrow_mut();
        let Some(body) = source.as_mut() else {
            let broken = self.broken.get();
            return Poll::Ready(broken.then(|| Err("the request was broken off".into())));
        };
        let polled = ready!(Pin::new(&mut *body).poll_frame(context));
        let ended = body.is_end_stream() || !matches!(polled, Some(Ok(_)));
        if ended {
            self.ended.set(true);
            *source = None;
        }
        match polled {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(self.keep(frame)))),
            Some(Err(error)) => {
                self.broken.set(true);
                Poll::Ready(Some(Err(error.into())))
            }
            None => Poll::Ready(None),
        }
    }

    fn keep(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let len = frame.data_ref().map_or(0, Bytes::len);
        self.received.set(self.received.get() + len as u64);
        if self.keep.get() == 0 {
            return frame;
        }
        let total = self.seen_bytes.get() + len;
        if total > self.keep.get() {
            self.keep.set(0);
            self.seen.borrow_mut().clear();
            return frame;
        }
        self.seen_bytes.set(total);
        let copy = copy_of(&frame);
        self.seen.borrow_mut().push(copy);
        frame
    }
}

fn copy_of(frame: &Frame<Bytes>) -> Frame<Bytes> {
    match (frame.data_ref(), frame.trailers_ref()) {
        (Some(data), _) => Frame::data(data.clone()),
        (None, Some(trailers)) => Frame::trailers(trailers.clone()),
        (None, None) => Frame::data(Bytes::new()),
    }
}

/// The body of one attempt: what was kept of earlier attempts first, then what still comes.
pub(crate) struct AttemptBody(Option<Replay>);

struct Replay {
    shared: Rc<Shared>,
    next: usize,
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(replay) = &mut self.0 else {
            return Poll::Ready(None);
        };
        if let Some(frame) = replay.shared.seen.borrow().get(replay.next) {
            replay.next += 1;
            return Poll::Ready(Some(Ok(copy_of(frame))));
        }
        let polled = ready!(replay.shared.poll(context));
        replay.next += 1;
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|replay| {
            let shared = &replay.shared;
            let is_over = shared.ended.get() && !shared.broken.get();
            is_over && replay.next >= shared.seen.borrow().len()
        })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(replay) => match &*replay.shared.source.borrow() {
                Some(body) if replay.next == 0 && replay.shared.received.get() == 0 => {
                    body.size_hint()
                }
                _ => SizeHint::default(),
            },
        }
    }
}

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use crate::{accept::Acceptor, handshake::HandshakeError, peer::Peer};

/// So many handshakes are under way at once; further connections wait to be accepted.
pub const MAX_PENDING_HANDSHAKES: usize = 1024;

/// So many connections stand at once; further ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 16 * 1024;

/// How long to leave a listener alone that failed to accept, for instance for want of descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Connections that have passed their handshake, for tonic's `serve_with_incoming`.
///
/// Handshakes run side by side, so a slow one delays nobody; failed ones are dropped. The stream
/// never ends and never fails. Its handshakes are tasks of the current runtime, and end with it.
pub struct Incoming {
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    handshakes: JoinSet<Result<GrpcConnection, HandshakeError>>,
    places: Arc<Semaphore>,
    next_place: Option<Waiting<OwnedSemaphorePermit>>,
    pause: Option<Waiting<()>>,
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

impl Incoming {
    /// Accepts from a bound listener.
    pub fn new(listener: TcpListener, acceptor: Arc<Acceptor>) -> Self {
        Self {
            listener,
            acceptor,
            handshakes: JoinSet::new(),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            next_place: None,
            pause: None,
        }
    }

    fn begin_handshakes(&mut self, cx: &mut Context<'_>) {
        while self.handshakes.len() < MAX_PENDING_HANDSHAKES {
            let Poll::Ready((stream, place)) = self.poll_accept(cx) else {
                return;
            };
            let acceptor = Arc::clone(&self.acceptor);
            self.handshakes.spawn(handshake(stream, acceptor, place));
        }
    }

    /// Waits for a place, and then for somebody to take it.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, OwnedSemaphorePermit)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let places = &self.places;
            let place = self
                .next_place
                .get_or_insert_with(|| Box::pin(place(Arc::clone(places))));
            let place = ready!(place.as_mut().poll(cx));
            self.next_place = None;
            match self.listener.poll_accept(cx) {
                Poll::Ready(Ok((stream, _))) => return Poll::Ready((stream, place)),
                Poll::Ready(Err(_)) => self.pause = Some(Box::pin(sleep(PAUSE_AFTER_FAILURE))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

async fn place(places: Arc<Semaphore>) -> OwnedSemaphorePermit {
    places
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("listener", &self.listener)
            .field("handshakes", &self.handshakes.len())
            .field("free_places", &self.places.available_permits())
            .finish_non_exhaustive()
    }
}

impl Stream for Incoming {
    type Item = io::Result<GrpcConnection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            this.begin_handshakes(cx);
            match this.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Ok(connection)))) => return Poll::Ready(Some(Ok(connection))),
                // A place is free again: look at the listener once more.
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    acceptor: Arc<Acceptor>,
    place: OwnedSemaphorePermit,
) -> Result<GrpcConnection, HandshakeError> {
    stream.set_nodelay(true).map_err(HandshakeError::Io)?;
    let (stream, peer) = acceptor.accept(stream).await?;
    Ok(GrpcConnection {
        stream,
        peer,
        _place: place,
    })
}

/// An accepted connection; its [`Peer`] is found in the extensions of every request.
#[derive(Debug)]
pub struct GrpcConnection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Connected for GrpcConnection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for GrpcConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for GrpcConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

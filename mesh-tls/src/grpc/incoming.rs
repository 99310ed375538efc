use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Sleep, sleep},
};
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use crate::{accept::Acceptor, handshake::HandshakeError, peer::Peer};

/// So many handshakes are under way at once; further connections wait to be accepted.
pub const MAX_PENDING_HANDSHAKES: usize = 1024;

/// How long to leave a listener alone that failed to accept, for instance for want of descriptors.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Connections that have passed their handshake, for tonic's `serve_with_incoming`.
///
/// Handshakes run side by side, so a slow one delays nobody; failed ones are dropped. The stream
/// never ends and never fails. Its handshakes are tasks of the current runtime, and end with it.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    handshakes: JoinSet<Result<GrpcConnection, HandshakeError>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Accepts from a bound listener.
    pub fn new(listener: TcpListener, acceptor: Arc<Acceptor>) -> Self {
        Self {
            listener,
            acceptor,
            handshakes: JoinSet::new(),
            pause: None,
        }
    }

    fn begin_handshakes(&mut self, cx: &mut Context<'_>) {
        while self.handshakes.len() < MAX_PENDING_HANDSHAKES {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return;
                }
                self.pause = None;
            }
            match self.listener.poll_accept(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((stream, _))) => {
                    let acceptor = Arc::clone(&self.acceptor);
                    self.handshakes.spawn(handshake(stream, acceptor));
                }
                Poll::Ready(Err(_)) => self.pause = Some(Box::pin(sleep(PAUSE_AFTER_FAILURE))),
            }
        }
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
) -> Result<GrpcConnection, HandshakeError> {
    stream.set_nodelay(true).map_err(HandshakeError::Io)?;
    let (stream, peer) = acceptor.accept(stream).await?;
    Ok(GrpcConnection { stream, peer })
}

/// An accepted connection; its [`Peer`] is found in the extensions of every request.
#[derive(Debug)]
pub struct GrpcConnection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
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

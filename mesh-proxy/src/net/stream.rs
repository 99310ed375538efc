use std::{fmt, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::Either;

/// Anything that carries bytes both ways.
pub trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// A connection's bytes: a TCP socket, or whatever a test or an embedder brings.
pub type Stream = Either<TcpStream, Box<dyn IoStream>>;

impl Stream {
    /// The address of this end, where there is one.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Left(tcp) => tcp.local_addr().ok(),
            Self::Right(_) => None,
        }
    }
}

impl fmt::Debug for dyn IoStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IoStream")
    }
}

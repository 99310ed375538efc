//! The network as the engine sees it: sockets to accept on, addresses to connect to.
//!
//! [`Network`] is the seam between the engine and the machine. [`SystemNetwork`] is the machine's
//! own; tests and local meshes bring others, which say what a pod's addresses mean there.

mod either;
mod rewind;
mod stream;
mod system;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

pub use either::Either;
pub use rewind::Rewind;
pub use stream::{IoStream, Stream};
pub use system::SystemNetwork;

/// A future that a seam returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where sockets come from.
pub trait Network: Send + Sync {
    /// Opens the sockets of a listener: for each worker those that are its own. A port of zero is
    /// chosen once and shared by all.
    fn bind(&self, request: &Bind) -> io::Result<Vec<Vec<Socket>>>;

    /// Connects to an address, from a certain source address if one is given.
    fn connect(
        &self,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Stream>>;
}

/// What a listener asks of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// The address to listen on.
    pub address: SocketAddr,
    /// How many workers accept there.
    pub workers: usize,
    /// Connections may have been redirected here, so their first destination is to be restored.
    pub redirected: bool,
}

/// A listening socket that is not yet anyone's: it becomes an [`Accept`] on the thread that serves
/// it.
pub type Socket = Box<dyn OpenSocket>;

/// A listening socket on its way to the worker that serves it.
pub trait OpenSocket: Send {
    /// The address it listens on.
    fn address(&self) -> SocketAddr;

    /// Starts accepting on the current thread's runtime.
    fn start(self: Box<Self>) -> io::Result<Box<dyn Accept>>;
}

/// Accepts connections, one by one.
pub trait Accept: Send + Sync {
    /// The next connection.
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Arrival>>;
}

/// A connection that came in.
#[derive(Debug)]
pub struct Arrival {
    /// Its bytes.
    pub stream: Stream,
    /// The caller's address.
    pub source: SocketAddr,
    /// The address it was accepted on.
    pub local: SocketAddr,
    /// The address the caller meant, before any redirection.
    pub meant_for: SocketAddr,
}

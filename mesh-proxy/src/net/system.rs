use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Accept, Arrival, Bind, BoxFuture, Network, OpenSocket, Socket, Stream};

/// The machine's own network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNetwork;

impl SystemNetwork {
    /// Connections the kernel keeps for a socket until they are accepted.
    const BACKLOG: i32 = 4096;

    /// Opens a socket that shares its address with its siblings (`SO_REUSEPORT`), so that the
    /// kernel spreads connections over workers. `redirected` asks for what callers meant before.
    pub fn listen(address: SocketAddr, redirected: bool) -> io::Result<Socket> {
        let socket = RawSocket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(Self::BACKLOG)?;
        Ok(Box::new(SystemSocket {
            listener: socket.into(),
            redirected,
        }))
    }
}

impl Network for SystemNetwork {
    fn bind(&self, request: &Bind) -> io::Result<Vec<Vec<Socket>>> {
        let first = Self::listen(request.address, request.redirected)?;
        let actual = first.address();
        let others = (1..request.workers).map(|_| Self::listen(actual, request.redirected));
        std::iter::once(Ok(first))
            .chain(others)
            .map(|socket| Ok(vec![socket?]))
            .collect()
    }

    fn connect(
        &self,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Stream>> {
        Box::pin(async move {
            let socket = if target.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            if let Some(source) = source.filter(|source| source.is_ipv4() == target.is_ipv4()) {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            let stream = socket.connect(target).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Left(stream))
        })
    }
}

struct SystemSocket {
    listener: std::net::TcpListener,
    redirected: bool,
}

impl OpenSocket for SystemSocket {
    fn address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .expect("a bound socket has an address")
    }

    fn start(self: Box<Self>) -> io::Result<Box<dyn Accept>> {
        let listener = TcpListener::from_std(self.listener)?;
        Ok(Box::new(SystemAccept {
            listener,
            redirected: self.redirected,
        }))
    }
}

struct SystemAccept {
    listener: TcpListener,
    redirected: bool,
}

impl Accept for SystemAccept {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Arrival>> {
        let (stream, source) = ready!(self.listener.poll_accept(context))?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        let original = self
            .redirected
            .then(|| original_destination(&stream))
            .flatten();
        let meant_for = original.unwrap_or(local);
        Poll::Ready(Ok(Arrival {
            stream: Stream::Left(stream),
            source,
            local,
            meant_for,
        }))
    }
}

/// What the caller meant before netfilter redirected it (`SO_ORIGINAL_DST`).
fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    socket
        .original_dst_v4()
        .or_else(|_| socket.original_dst_v6())
        .ok()?
        .as_socket()
}

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use mesh_core::dataplane::EndpointAddress;
use mesh_tls::Peer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::lookup_host,
    time::timeout,
};
use tokio_rustls::TlsStream;

use crate::{
    http::Failure,
    live::ClientSecurity,
    net::{Network, Stream},
};

/// Opens connections to instances.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) network: Arc<dyn Network>,
}

/// What a connection to an instance needs to know.
pub(crate) struct Target<'a> {
    pub(crate) address: &'a EndpointAddress,
    pub(crate) source: Option<IpAddr>,
    pub(crate) security: Option<&'a ClientSecurity>,
    pub(crate) connect_timeout: Duration,
    /// The host a request asked for, where the server name follows it.
    pub(crate) requested_host: Option<&'a str>,
}

/// A connection to an instance.
pub(crate) struct Opened {
    pub(crate) stream: UpstreamStream,
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<Peer>,
}

/// The bytes of a connection to an instance.
pub(crate) enum UpstreamStream {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

impl Dialer {
    /// Connects and shakes hands within the cluster's time.
    pub(crate) async fn open(&self, target: Target<'_>) -> Result<Opened, Failure> {
        match timeout(target.connect_timeout, self.open_unbounded(&target)).await {
            Ok(opened) => opened,
            Err(_) => Err(connect_failure("delayed connect error: timed out")),
        }
    }

    async fn open_unbounded(&self, target: &Target<'_>) -> Result<Opened, Failure> {
        let (stream, remote) = self.connect(target).await?;
        let local = stream.local_address();
        let Some(security) = target.security else {
            return Ok(Opened {
                stream: UpstreamStream::Plain(stream),
                remote,
                local,
                peer: None,
            });
        };
        let (stream, peer) = security
            .connect(stream, target.requested_host)
            .await
            .map_err(|error| connect_failure(&format!("TLS error: {error}")))?;
        let stream = UpstreamStream::Tls(Box::new(stream));
        Ok(Opened {
            stream,
            remote,
            local,
            peer: Some(peer),
        })
    }

    /// Tries every address a name has, in the resolver's order.
    async fn connect(&self, target: &Target<'_>) -> Result<(Stream, SocketAddr), Failure> {
        let addresses: Vec<SocketAddr> = match target.address {
            EndpointAddress::Socket(address) => vec![*address],
            EndpointAddress::Dns(name, port) => lookup_host((name.as_str(), *port))
                .await
                .map_err(|error| connect_failure(&format!("cannot resolve {name}: {error}")))?
                .collect(),
        };
        let mut last = connect_failure("the name has no address");
        for address in addresses {
            match self.network.connect(address, target.source).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) => last = connect_failure(&describe(&error)),
            }
        }
        Err(last)
    }
}

fn connect_failure(reason: &str) -> Failure {
    Failure::ConnectFailure {
        reason: reason.to_owned(),
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "delayed connect error: Connection refused".into(),
        _ => format!("delayed connect error: {error}"),
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

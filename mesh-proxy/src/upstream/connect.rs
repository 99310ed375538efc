use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use mesh_core::dataplane::EndpointAddress;
use mesh_tls::Peer;
use tokio::{net::lookup_host, time::timeout};
use tokio_rustls::TlsStream;

use crate::{
    http::Failure,
    live::ClientSecurity,
    net::{Either, Network, Stream},
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
pub(crate) type UpstreamStream = Either<Stream, Box<TlsStream<Stream>>>;

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
                stream: UpstreamStream::Left(stream),
                remote,
                local,
                peer: None,
            });
        };
        let (stream, peer) = security
            .connect(stream, target.requested_host)
            .await
            .map_err(|error| connect_failure(&format!("TLS error: {error}")))?;
        let stream = UpstreamStream::Right(Box::new(stream));
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

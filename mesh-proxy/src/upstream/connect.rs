use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use mesh_core::dataplane::{EndpointAddress, TcpKeepalive};
use mesh_tls::Peer;
use socket2::SockRef;
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
    /// Probes on it while it is silent.
    pub(crate) keepalive: Option<TcpKeepalive>,
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
        if let (Some(probes), Stream::Left(tcp)) = (target.keepalive, &stream) {
            SockRef::from(tcp)
                .set_tcp_keepalive(&probing(probes))
                .map_err(|error| connect_failure(&format!("tcp_keepalive: {error}")))?;
        }
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

/// What is not said stays as the system has it.
fn probing(probes: TcpKeepalive) -> socket2::TcpKeepalive {
    let mut socket = socket2::TcpKeepalive::new();
    if let Some(time) = probes.time {
        socket = socket.with_time(time);
    }
    if let Some(interval) = probes.interval {
        socket = socket.with_interval(interval);
    }
    if let Some(count) = probes.probes {
        socket = socket.with_retries(count);
    }
    socket
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::SystemNetwork;

    async fn open(keepalive: Option<TcpKeepalive>) -> Result<Opened, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = EndpointAddress::Socket(listener.local_addr().unwrap());
        let network = Arc::new(SystemNetwork);
        let target = Target {
            address: &address,
            source: None,
            security: None,
            connect_timeout: Duration::from_secs(10),
            keepalive,
            requested_host: None,
        };
        Dialer { network }.open(target).await
    }

    #[tokio::test]
    async fn silent_connections_are_probed_as_planned() {
        let planned = TcpKeepalive {
            probes: Some(4),
            time: Some(Duration::from_secs(77)),
            interval: Some(Duration::from_secs(5)),
        };
        let opened = open(Some(planned)).await.unwrap();
        let UpstreamStream::Left(Stream::Left(tcp)) = opened.stream else {
            panic!("a connection of the system in clear text");
        };
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(77)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(5)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }

    #[tokio::test]
    async fn nobody_probes_unasked() {
        let opened = open(None).await.unwrap();
        let UpstreamStream::Left(Stream::Left(tcp)) = opened.stream else {
            panic!("a connection of the system in clear text");
        };
        assert!(!SockRef::from(&tcp).keepalive().unwrap());
    }

    #[tokio::test]
    async fn probes_that_the_system_refuses_are_named() {
        let planned = TcpKeepalive {
            probes: Some(1_000),
            ..TcpKeepalive::default()
        };
        let Err(Failure::ConnectFailure { reason }) = open(Some(planned)).await else {
            panic!("the system takes at most 127");
        };
        assert!(reason.starts_with("tcp_keepalive: "), "{reason}");
    }
}

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::connect::Connector;

/// Connecting, TLS included, takes no longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Istio's `keepaliveInterval` towards istiod.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of a server is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address of the form host:port")]
pub struct ChannelError(String);

/// A channel to `address` (`host:port`) whose connections are made by `connector`.
///
/// It connects on first use and again whenever the connection was lost, each time with the
/// credentials that are current then. The name in `address` is resolved but not verified: who
/// answers is judged by the connector.
pub fn channel(address: &str, connector: Arc<Connector>) -> Result<Channel, ChannelError> {
    let malformed = || ChannelError(address.to_owned());
    // The scheme is HTTP because TLS is not tonic's concern here.
    let uri: Uri = format!("http://{address}")
        .parse()
        .map_err(|_| malformed())?;
    if uri.port().is_none() || uri.path() != "/" {
        return Err(malformed());
    }
    let endpoint = Endpoint::from(uri)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let address = address.into();
    Ok(endpoint.connect_with_connector_lazy(Dialer { address, connector }))
}

#[derive(Clone)]
struct Dialer {
    address: Arc<str>,
    connector: Arc<Connector>,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Dialed = TokioIo<TlsStream<TcpStream>>;

impl Service<Uri> for Dialer {
    type Response = Dialed;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Dialed, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let Self { address, connector } = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            let (stream, _) = connector.connect(stream).await?;
            Ok(TokioIo::new(stream))
        })
    }
}

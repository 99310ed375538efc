//! Calls to neighbours, through the proxy where there is one, over connections that are kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Idle connections kept per next hop.
const MAX_IDLE_PER_HOP: usize = 64;
/// Longest answer read from a neighbour.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Makes `GET` calls. One per running service.
#[derive(Debug)]
pub(crate) struct Caller {
    proxy: Option<SocketAddr>,
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

type Connection = SendRequest<Empty<Bytes>>;

/// What a neighbour, or the proxy in its place, answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CallError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("cannot connect to {hop}")]
    Unreachable {
        hop: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("{0:?} cannot be asked for")]
    Address(String),
}

impl Caller {
    pub(crate) fn new(proxy: Option<SocketAddr>) -> Self {
        Self {
            proxy,
            idle: Mutex::default(),
        }
    }

    /// Asks `authority` (`host:port`) for `path`, within `limit` from first byte to last.
    pub(crate) async fn get(
        &self,
        authority: &str,
        path: &str,
        headers: HeaderMap,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let request = self.request(authority, path, headers)?;
        tokio::time::timeout(limit, self.exchange(authority, request))
            .await
            .unwrap_or(Err(CallError::TimedOut(limit)))
    }

    /// To a proxy the request line carries the whole URL (RFC 9112 section 3.2.2), else the path.
    fn request(
        &self,
        authority: &str,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Request<Empty<Bytes>>, CallError> {
        let target = match self.proxy {
            Some(_) => format!("http://{authority}{path}"),
            None => path.to_owned(),
        };
        let unaskable = || CallError::Address(format!("http://{authority}{path}"));
        let mut request = Request::get(target)
            .body(Empty::new())
            .map_err(|_invalid| unaskable())?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(authority).map_err(|_invalid| unaskable())?;
        request.headers_mut().insert(HOST, host);
        Ok(request)
    }

    async fn exchange(
        &self,
        authority: &str,
        request: Request<Empty<Bytes>>,
    ) -> Result<Answer, CallError> {
        let hop = self
            .proxy
            .map_or_else(|| authority.to_owned(), |proxy| proxy.to_string());
        if let Some(kept) = self.take(&hop) {
            // The other side may have closed a kept connection at any moment. That says nothing about
            // this request, and asking twice does no harm, so a new connection gets a try.
            match self.send(&hop, kept, request.clone()).await {
                Err(CallError::Broken(_)) => {}
                settled => return settled,
            }
        }
        let fresh = connect(&hop).await?;
        self.send(&hop, fresh, request).await
    }

    async fn send(
        &self,
        hop: &str,
        mut connection: Connection,
        request: Request<Empty<Bytes>>,
    ) -> Result<Answer, CallError> {
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = match Limited::new(response.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
        {
            Ok(collected) => collected.to_bytes(),
            Err(error) => return Err(body_error(error)),
        };
        self.keep(hop, connection);
        Ok(Answer { status, body })
    }

    fn take(&self, hop: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(hop)?;
        std::iter::from_fn(|| kept.pop()).find(|connection| !connection.is_closed())
    }

    fn keep(&self, hop: &str, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(hop.to_owned()).or_default();
        if kept.len() < MAX_IDLE_PER_HOP && !connection.is_closed() {
            kept.push(connection);
        }
    }
}

async fn connect(hop: &str) -> Result<Connection, CallError> {
    let unreachable = |source| CallError::Unreachable {
        hop: hop.to_owned(),
        source,
    };
    let stream = TcpStream::connect(hop).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // The task ends when the sender is dropped or the other side closes; what went wrong on it
    // reaches the request that was under way through the sender.
    tokio::spawn(connection);
    Ok(sender)
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> CallError {
    if error.is::<LengthLimitError>() {
        return CallError::TooLong;
    }
    match error.downcast::<hyper::Error>() {
        Ok(broken) => CallError::Broken(*broken),
        Err(_limit) => CallError::TooLong,
    }
}

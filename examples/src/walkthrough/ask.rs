//! Sends the requests of a check, as an application would.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_proxy::telemetry::Side;
use tokio::{net::TcpSocket, time::timeout};

use super::{
    check::Question,
    witness::{Sighting, Witness, marked},
};

/// How long an answer may take, beside what the rule lets it wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long proxies may take to tell of a request that is over.
const TELLING: Duration = Duration::from_secs(5);
/// How much of an answer is kept.
const MAX_BODY: usize = 1 << 20;

/// What became of one request.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) status: Option<u16>,
    /// Why there is no answer.
    pub(super) failure: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) elapsed: Duration,
    /// What the proxy on the caller's side tells.
    pub(super) source: Option<Sighting>,
    /// What the proxy on the destination's side tells.
    pub(super) destination: Option<Sighting>,
}

/// Who has something to tell of a request, and how long it may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tellers {
    pub(super) source: bool,
    pub(super) destination: bool,
    pub(super) delay: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the request cannot be sent")]
    Request(#[from] http::Error),
    #[error("no connection")]
    Connection(#[from] std::io::Error),
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    #[error("the answer's body broke")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One connection after the other, for one request after the other.
pub(super) struct Lane<'a> {
    question: &'a Question,
    witness: &'a Witness,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(question: &'a Question, witness: &'a Witness) -> Self {
        Self {
            question,
            witness,
            connection: None,
        }
    }

    /// Sends the request once, with a mark of its own.
    pub(super) async fn ask(&mut self, mark: u64, tellers: Tellers) -> Seen {
        let mut watch = self.witness.watch(mark);
        let begin = Instant::now();
        let limit = PATIENCE + tellers.delay;
        let answer = timeout(limit, self.exchange(mark)).await;
        let mut seen = match answer {
            Ok(Ok(seen)) => seen,
            Ok(Err(failure)) => Seen {
                failure: Some(chain(&failure)),
                ..Seen::default()
            },
            Err(_) => Seen {
                failure: Some(format!("no answer within {limit:?}")),
                ..Seen::default()
            },
        };
        seen.elapsed = begin.elapsed();
        if seen.failure.is_some() {
            self.connection = None;
        }
        let refused = seen.status.is_none();
        let telling = async {
            while !refused && !seen.is_told(tellers) {
                let Some(sighting) = watch.next().await else {
                    break;
                };
                seen.put(sighting);
            }
        };
        // What is missing is found missing by whoever judges.
        let _ = timeout(TELLING, telling).await;
        seen
    }

    async fn exchange(&mut self, mark: u64) -> Result<Seen, AskError> {
        let request = self.request(mark)?;
        let mut connection = self.connection().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        self.connection = Some(connection);
        Ok(Seen {
            status: Some(head.status.as_u16()),
            headers: head.headers,
            body: body.map_err(AskError::Body)?.to_bytes(),
            ..Seen::default()
        })
    }

    fn request(&self, mark: u64) -> Result<Request<Empty<Bytes>>, http::Error> {
        let Question {
            absolute,
            method,
            authority,
            path,
            query,
            headers,
            ..
        } = self.question;
        let target = format!("{path}?{}", marked(query, mark));
        let target = match absolute {
            true => format!("http://{authority}{target}"),
            false => target,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, authority)
            .body(Empty::new())?;
        request.headers_mut().extend(
            headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(request)
    }

    /// The kept connection while it lasts, else a new one.
    async fn connection(&mut self) -> Result<SendRequest<Empty<Bytes>>, AskError> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.question.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(self.question.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with its sender; why is told to whoever has a request on it.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Seen {
    fn put(&mut self, sighting: Sighting) {
        let place = match sighting.side {
            Side::Source => &mut self.source,
            Side::Destination => &mut self.destination,
        };
        // The first to tell is the last to have the request: nearest to the application.
        place.get_or_insert(sighting);
    }

    /// Whether everybody told who has something to tell.
    fn is_told(&self, tellers: Tellers) -> bool {
        let by_source = self.source.is_some() || !tellers.source;
        by_source && (self.destination.is_some() || !tellers.destination)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

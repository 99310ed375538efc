//! Clients, origins, and what can be read off the wire.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, client, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        Self {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        }
    }
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// A connection that sends requests.
pub(crate) enum Client {
    Http1(client::conn::http1::SendRequest<Body>),
    Http2(client::conn::http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn http1(address: SocketAddr) -> Self {
        Self::http1_on(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn http1_on<IO>(io: IO) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = client::conn::http1::handshake(TokioIo::new(io))
            .await
            .unwrap();
        tokio::spawn(connection.with_upgrades());
        Self::Http1(sender)
    }

    pub(crate) async fn http2(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    pub(crate) async fn start(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Answer {
        Answer::read(self.start(request).await.unwrap()).await
    }
}

/// A request; `headers` may replace `host`.
pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") && path.starts_with('/') {
        builder = builder.header("host", "reviews");
    }
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(full("")).unwrap()
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, &[]).await
}

pub(crate) async fn get_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::http1(address).await;
    client.send(request(Method::GET, path, headers)).await
}

/// Writes text on a connection of its own and reads until it is closed.
pub(crate) async fn raw(address: SocketAddr, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    // A reset after an answer is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request as an origin saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A server that remembers what it saw.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) async fn start(
        http2: bool,
        answer: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listening.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (serving, answer) = (origin.clone(), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listening.accept().await.unwrap();
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, answer) = (Arc::clone(&serving.seen), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    async move {
                        let (head, body) = request.into_parts();
                        let collected = body.collect().await?;
                        let request = Seen {
                            uri: head.uri,
                            version: head.version,
                            headers: head.headers,
                            trailers: collected.trailers().cloned(),
                            body: collected.to_bytes(),
                        };
                        seen.lock().unwrap().push(request.clone());
                        Ok::<_, hyper::Error>(answer(&request))
                    }
                });
                let io = TokioIo::new(stream);
                if http2 {
                    let builder = server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(builder.serve_connection(io, service));
                } else {
                    tokio::spawn(server::conn::http1::Builder::new().serve_connection(io, service));
                }
            }
        });
        origin
    }

    /// One that always says the same.
    pub(crate) async fn saying(status: u16, text: &'static str) -> Self {
        Self::start(false, move |_| {
            Response::builder().status(status).body(full(text)).unwrap()
        })
        .await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A server that does to every connection what the script says; `script` is told its number.
pub(crate) async fn scripted<F>(
    script: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listening.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listening.accept().await.unwrap();
            tokio::spawn(script(number, stream));
        }
    });
    address
}

/// Reads the head of an HTTP/1 message, to the end of its empty line.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// An address on which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// One line of Prometheus' text format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A strict reader of Prometheus' text format: a type before every sample, labels quoted, no series
/// twice.
pub(crate) fn parse_prometheus(text: &str) -> Vec<Sample> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples: Vec<Sample> = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(
                ["counter", "gauge", "histogram", "summary"].contains(&kind),
                "{line}"
            );
            assert_eq!(types.insert(name, kind), None, "{name} has two types");
            continue;
        }
        let sample = parse_sample(line);
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| {
                sample
                    .name
                    .strip_suffix(suffix)
                    .filter(|base| types.contains_key(base))
            })
            .unwrap_or(&sample.name);
        assert!(types.contains_key(base), "{line} has no type");
        let twice = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
        assert!(!samples.iter().any(twice), "{line} is there twice");
        samples.push(sample);
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let (name, rest) = match series.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    assert!(word(name) && !name.is_empty(), "{line}");
    let mut labels = BTreeMap::new();
    let mut left = rest;
    while !left.is_empty() {
        let (key, after) = left.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(word(key), "{line}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{line}")) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('"' | '\\') => c,
                    c => panic!("\\{c} in {line}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert_eq!(labels.insert(key.to_owned(), value), None, "{line}");
        left = &after[end + 1..];
        left = left.strip_prefix(',').unwrap_or(left);
    }
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

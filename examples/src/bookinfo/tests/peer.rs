//! The two ends a service is put between: a client that speaks plain HTTP/1.1, and a scripted
//! neighbour, or proxy, that notes what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::bookinfo::{App, run};

pub(super) async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// A service under test.
pub(super) struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

pub(super) async fn start(app: App) -> Running {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { _ = stopped.await };
    let ended = tokio::spawn(async move { run(listener, app, shutdown).await });
    Running {
        address,
        stop,
        ended,
    }
}

impl Running {
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &HeaderMap::new(), "").await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &str,
    ) -> Answer {
        self.connect().await.send(method, path, headers, body).await
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

/// One connection to a service.
pub(super) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Client {
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &str,
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        // A service may answer and close before it has read a body that is too long.
        _ = self.stream.write_all(head.as_bytes()).await;
        let head = next_head(&mut self.stream, &mut self.read)
            .await
            .expect("an answer");
        let length: usize = head.headers["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        while self.read.len() < length {
            assert_ne!(
                self.stream.read_buf(&mut self.read).await.unwrap(),
                0,
                "cut short"
            );
        }
        let text = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        let status = head.line.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            headers: head.headers,
            text,
        }
    }

    /// Returns once the other side has closed.
    pub(super) async fn closed(&mut self) {
        assert_eq!(self.stream.read_buf(&mut self.read).await.unwrap(), 0);
    }
}

/// A request or response as it stood on the wire, without its body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) line: String,
    pub(super) headers: HeaderMap,
}

/// What a scripted peer answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
    closes: bool,
}

impl Reply {
    pub(super) fn text(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain",
            body: body.to_owned(),
            closes: false,
        }
    }

    pub(super) fn json(body: &str) -> Self {
        Self {
            content_type: "application/json",
            ..Self::text(200, body)
        }
    }

    /// Closes the connection after the answer, without saying so beforehand.
    pub(super) fn last(self) -> Self {
        Self {
            closes: true,
            ..self
        }
    }
}

/// Answers every request by script and notes it.
pub(super) struct ScriptedPeer {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    heads: Vec<Head>,
}

impl ScriptedPeer {
    pub(super) async fn start(script: impl Fn(&Head) -> Reply + Send + Sync + 'static) -> Self {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (noted, script) = (Arc::clone(&seen), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                noted.lock().unwrap().connections += 1;
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&noted)));
            }
        });
        Self { address, seen }
    }

    pub(super) fn heads(&self) -> Vec<Head> {
        self.seen.lock().unwrap().heads.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

async fn converse(
    mut stream: TcpStream,
    script: Arc<impl Fn(&Head) -> Reply>,
    seen: Arc<Mutex<Seen>>,
) {
    let mut read = Vec::new();
    while let Some(head) = next_head(&mut stream, &mut read).await {
        let Reply {
            status,
            content_type,
            body,
            closes,
        } = script(&head);
        seen.lock().unwrap().heads.push(head);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        if closes {
            return;
        }
    }
}

/// The next head on the stream; what was read beyond it stays in `read`. `None` at the end.
async fn next_head(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Head> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        });
    Some(Head {
        line,
        headers: headers.collect(),
    })
}

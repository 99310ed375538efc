use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use http::uri::PathAndQuery;
use mesh_core::dataplane::{ConfigFeed, Name, Node, Update, Verdict};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tonic::{Request, Status, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    codec::encode_node,
    proto::{DiscoveryRequest, DiscoveryResponse},
    protocol::{Follower, Progress, ServerMessage},
    wire::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, STREAM},
};

/// The first wait before a stream is opened again lasts at most so long; each further one at most
/// twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait lasts longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server that does not open a stream within this time is taken for absent.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// So many requests may wait to be sent; each type has one subscription, so few ever do.
const MAX_QUEUED: usize = 1024;

/// Follows the snapshots that a control plane serves to a node.
///
/// While the server cannot be reached everything stays as it is; versions are told again on the
/// next stream, so that nothing unchanged is applied twice.
#[derive(Debug)]
pub struct XdsClient {
    grpc: Grpc<Channel>,
    node: Node,
    follower: Follower,
    link: Option<Link>,
    state: watch::Sender<LinkState>,
    retry: Retry,
}

/// How a client stands with its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// Nothing was tried yet.
    #[default]
    New,
    /// A stream is open.
    Open,
    /// No stream is open; the last failure says why.
    Lost(String),
}

struct Link {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
    is_first: bool,
}

/// Waits between attempts: a random time up to an exponentially growing bound.
#[derive(Debug)]
struct Retry {
    bound: Duration,
    not_before: Option<Instant>,
}

impl XdsClient {
    /// Secrets that are not asked for: the workload's own, which come from its certificate
    /// authority. The roots to trust (`ROOTCA`) are asked for like everything else.
    pub const OWN_SECRETS: [&str; 1] = ["default"];

    /// Follows what the server behind a channel serves to this node.
    pub fn new(channel: Channel, node: Node) -> Self {
        let grpc = Grpc::new(channel)
            .max_decoding_message_size(MAX_RESPONSE_BYTES)
            .max_encoding_message_size(MAX_REQUEST_BYTES);
        Self {
            grpc,
            node,
            follower: Follower::new(Self::OWN_SECRETS.map(Name::from)),
            link: None,
            state: watch::Sender::default(),
            retry: Retry {
                bound: FIRST_WAIT,
                not_before: None,
            },
        }
    }

    /// How the client stands with its server, now and from now on.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    async fn connect(&mut self) {
        if let Some(time) = self.retry.not_before {
            sleep_until(time).await;
        }
        match tokio::time::timeout(
            OPEN_TIMEOUT,
            open(&mut self.grpc, &mut self.follower, &self.node),
        )
        .await
        {
            Ok(Ok(link)) => {
                self.link = Some(link);
                self.state.send_replace(LinkState::Open);
            }
            Ok(Err(status)) => self.lost(&status),
            Err(_) => self.lost(&Status::deadline_exceeded("the server does not answer")),
        }
    }

    fn lost(&mut self, status: &Status) {
        self.link = None;
        self.retry.failed();
        let reason = format!("{:?}: {}", status.code(), status.message());
        self.state.send_replace(LinkState::Lost(reason));
    }

    /// Sends what is to be said. Requests beyond the queue's length mean that the server does not
    /// read, and the stream is given up.
    fn speak(&mut self) {
        let Some(link) = &mut self.link else { return };
        while let Some(message) = self.follower.outgoing() {
            let mut request = message.into_wire();
            if std::mem::take(&mut link.is_first) {
                request.node = Some(encode_node(&self.node));
            }
            if link.requests.try_send(request).is_err() {
                return self.lost(&Status::unavailable("the server takes no more requests"));
            }
        }
    }
}

enum Heard {
    Response(DiscoveryResponse),
    End(Status),
    Nothing,
}

impl ConfigFeed for XdsClient {
    async fn next(&mut self) -> Option<Update> {
        loop {
            self.speak();
            let until = match self.follower.progress(Instant::now().into()) {
                Progress::Update(snapshot) => {
                    self.speak();
                    return Some(Update { snapshot });
                }
                Progress::Idle(until) => until,
            };
            self.speak();
            let Some(link) = &mut self.link else {
                self.connect().await;
                continue;
            };
            match listen(link, until).await {
                Heard::Response(response) => {
                    self.retry.succeeded();
                    if let Some(message) = ServerMessage::from_wire(response) {
                        self.follower.receive(&message);
                    }
                }
                Heard::Nothing => {}
                Heard::End(status) => self.lost(&status),
            }
        }
    }

    async fn reply(&mut self, verdict: Verdict) {
        self.follower.reply(&verdict);
        self.speak();
    }
}

/// Waits for a response, or for the time when waiting for more is over.
async fn listen(link: &mut Link, until: Option<std::time::Instant>) -> Heard {
    let timeout = async {
        match until {
            Some(time) => sleep_until(time.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        response = link.responses.message() => match response {
            Ok(Some(response)) => Heard::Response(response),
            Ok(None) => Heard::End(Status::unavailable("the server ended the stream")),
            Err(status) => Heard::End(status),
        },
        () = timeout => Heard::Nothing,
    }
}

/// Opens a stream. The first request goes with it: a server may say nothing before it.
async fn open(
    grpc: &mut Grpc<Channel>,
    follower: &mut Follower,
    node: &Node,
) -> Result<Link, Status> {
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    follower.connected();
    let (requests, receiver) = mpsc::channel(MAX_QUEUED);
    let mut is_first = true;
    while let Some(message) = follower.outgoing() {
        let mut request = message.into_wire();
        if std::mem::take(&mut is_first) {
            request.node = Some(encode_node(node));
        }
        requests
            .try_send(request)
            .expect("there is one first request per type");
    }
    let codec = ProstCodec::default();
    let response = grpc
        .streaming(
            Request::new(Requests(receiver)),
            PathAndQuery::from_static(STREAM),
            codec,
        )
        .await?;
    Ok(Link {
        requests,
        responses: response.into_inner(),
        is_first,
    })
}

impl Retry {
    /// Only a response shows that the server is well.
    fn succeeded(&mut self) {
        self.bound = FIRST_WAIT;
        self.not_before = None;
    }

    fn failed(&mut self) {
        let wait = self.bound.mul_f64(fastrand::f64());
        self.not_before = Some(Instant::now() + wait);
        self.bound = (self.bound * 2).min(LONGEST_WAIT);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Requests(mpsc::Receiver<DiscoveryRequest>);

impl Stream for Requests {
    type Item = DiscoveryRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use mesh_core::dataplane::Node;
use mesh_tls::Peer;
use tokio::sync::mpsc;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService, StreamingService},
};
use tonic_prost::ProstCodec;

use crate::{
    cache::{Place, SnapshotCache},
    codec::decode_node,
    proto::{DiscoveryRequest, DiscoveryResponse},
    protocol::{ClientMessage, ServerEvent, ServerStream},
    wire::{MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, SERVICE, STREAM},
};

/// So many responses may wait for a slow client before it is given no more.
const MAX_QUEUED: usize = 8;

/// Serves the snapshots of a cache over the aggregated discovery service. Add it to a tonic router.
#[derive(Clone)]
pub struct XdsServer {
    cache: SnapshotCache,
    authorize: Arc<Authorize>,
    identifier: Arc<str>,
}

type Authorize = dyn Fn(Option<&Peer>, &Node) -> Result<(), String> + Send + Sync;

impl XdsServer {
    /// Serves a cache to callers that prove to be the nodes they say they are:
    /// see [`same_workload`].
    pub fn new(cache: SnapshotCache) -> Self {
        Self {
            cache,
            authorize: Arc::new(same_workload),
            identifier: "mesh".into(),
        }
    }

    /// Asks `authorize` instead whether a caller, known by its certificate if it has one, may be
    /// served as a node. An error says why not.
    #[must_use]
    pub fn authorize_with(
        self,
        authorize: impl Fn(Option<&Peer>, &Node) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            authorize: Arc::new(authorize),
            ..self
        }
    }

    /// What the server calls itself in responses.
    #[must_use]
    pub fn identified_as(self, identifier: impl Into<Arc<str>>) -> Self {
        Self {
            identifier: identifier.into(),
            ..self
        }
    }

    /// Serves one stream until it ends.
    async fn serve(
        self,
        peer: Option<Peer>,
        mut requests: Streaming<DiscoveryRequest>,
        responses: &mpsc::Sender<Result<DiscoveryResponse, Status>>,
    ) -> Result<(), Status> {
        let Some(first) = requests.message().await? else {
            return Ok(());
        };
        let node = first.node.as_ref().and_then(decode_node).ok_or_else(|| {
            Status::invalid_argument(
                "the first request must carry a node with an id of Istio's form",
            )
        })?;
        (self.authorize)(peer.as_ref(), &node).map_err(Status::permission_denied)?;
        let mut place = self.cache.open(&node);
        let mut stream = ServerStream::default();
        let mut request = Some(first);
        loop {
            if let Some(request) = request.take() {
                receive(&mut stream, request, &place)?;
            }
            // Nothing is sent before there is a snapshot for this node.
            let served = place.served.borrow_and_update().clone();
            if let Some(served) = served {
                for message in stream.push(&served) {
                    let response = message.into_wire(&self.identifier);
                    if responses.send(Ok(response)).await.is_err() {
                        return Ok(());
                    }
                }
                let is_settled = stream.is_settled(&served);
                place.settled(&served, is_settled);
            }
            tokio::select! {
                message = requests.message() => match message? {
                    Some(message) => request = Some(message),
                    None => return Ok(()),
                },
                changed = place.served.changed() => if changed.is_err() {
                    return Ok(());
                },
            }
        }
    }
}

/// The default rule: a caller's SPIFFE ID must name the namespace and service account of the node
/// it says it is.
///
/// # Errors
///
/// Says what is missing or different.
pub fn same_workload(peer: Option<&Peer>, node: &Node) -> Result<(), String> {
    let identity = peer
        .and_then(|peer| peer.identity.as_ref())
        .ok_or("a certificate with a SPIFFE ID is needed")?;
    let is_same = identity.workload().is_some_and(|workload| {
        workload.namespace == node.namespace && workload.service_account == node.service_account
    });
    if is_same {
        Ok(())
    } else {
        Err(format!(
            "{identity} is not service account {} of namespace {}",
            node.service_account, node.namespace
        ))
    }
}

fn receive(
    stream: &mut ServerStream,
    request: DiscoveryRequest,
    place: &Place,
) -> Result<(), Status> {
    if request.type_url.is_empty() {
        return Err(Status::invalid_argument("a request without a type"));
    }
    // A type that is not carried gets no answer, which is not an error.
    let Some(message) = ClientMessage::from_wire(request) else {
        return Ok(());
    };
    let event = stream
        .receive(message)
        .map_err(|error| Status::resource_exhausted(error.to_string()))?;
    place.report(|status| match event {
        ServerEvent::Accepted(resource_type, version) => {
            status.refused.remove(&resource_type);
            status.accepted.insert(resource_type, version);
        }
        ServerEvent::Refused {
            resource_type,
            detail,
            ..
        } => drop(status.refused.insert(resource_type, detail)),
        ServerEvent::Asked(_) | ServerEvent::Stale => {}
    });
    Ok(())
}

impl fmt::Debug for XdsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdsServer")
            .field("cache", &self.cache)
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

impl NamedService for XdsServer {
    const NAME: &'static str = SERVICE;
}

impl tower_service::Service<http::Request<Body>> for XdsServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            if request.uri().path() != STREAM {
                return Ok(Status::unimplemented("only state of the world is served").into_http());
            }
            let codec = ProstCodec::default();
            let mut grpc = Grpc::new(codec)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_RESPONSE_BYTES);
            Ok(grpc.streaming(Method(server), request).await)
        })
    }
}

struct Method(XdsServer);

impl StreamingService<DiscoveryRequest> for Method {
    type Response = DiscoveryResponse;
    type ResponseStream = Responses;
    type Future = std::future::Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        let server = self.0.clone();
        let peer = request.extensions().get::<Peer>().cloned();
        let requests = request.into_inner();
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        // Ends with its connection: requests end then, and responses cannot be sent.
        tokio::spawn(async move {
            if let Err(status) = server.serve(peer, requests, &sender).await {
                // A client that is gone does not want to know.
                let _ = sender.send(Err(status)).await;
            }
        });
        std::future::ready(Ok(Response::new(Responses(receiver))))
    }
}

#[derive(Debug)]
struct Responses(mpsc::Receiver<Result<DiscoveryResponse, Status>>);

impl Stream for Responses {
    type Item = Result<DiscoveryResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

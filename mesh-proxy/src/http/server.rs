//! HTTP/1 and HTTP/2 streams, made into exchanges.

use std::{cell::RefCell, convert::Infallible, fmt, net::SocketAddr, rc::Rc, sync::Arc};

use http::{HeaderValue, Request, Response, request::Parts};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_core::dataplane::{HttpConnectionManager, Name, TransportProtocol};
use mesh_routing::{ConnectionFacts, Matched, RequestHead, RouteId, action::EditFacts};
use mesh_tls::Peer;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    body::ProxyBody,
    exchange, headers,
    idle::{Activity, IdleLimits},
};
use crate::{
    live::{HttpChain, LiveChain, LiveTerminal},
    runtime::LocalExecutor,
    telemetry::{ConnectionRecord, Interned, PeerLabels, PeerMetadataHeaders},
    worker::{View, Worker},
};

/// A connection that carries requests.
pub(crate) struct HttpConnection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) record: Rc<ConnectionRecord>,
    pub(crate) peer: Option<Peer>,
    pub(crate) meant_for: SocketAddr,
    pub(crate) scheme: &'static str,
    pub(super) activity: Activity,
    listener: Name,
    chain: RefCell<Rc<ChainInForce>>,
    caller: RefCell<Option<(HeaderValue, Interned<PeerLabels>)>>,
}

/// The chain that serves a connection, and the configuration it is part of.
pub(crate) struct ChainInForce {
    pub(crate) view: Rc<View>,
    chain: Arc<LiveChain>,
}

/// What is known of a connection when its first request comes.
pub(crate) struct Accepted {
    pub(crate) worker: Rc<Worker>,
    pub(crate) record: Rc<ConnectionRecord>,
    pub(crate) peer: Option<Peer>,
    pub(crate) meant_for: SocketAddr,
    pub(crate) listener: Name,
    pub(crate) view: Rc<View>,
    pub(crate) chain: Arc<LiveChain>,
    pub(crate) http2: bool,
}

/// Serves a connection until it ends or the proxy drains.
pub(crate) async fn serve<IO>(io: IO, accepted: Accepted)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let http2 = accepted.http2;
    let mut drain = accepted.worker.settings.drain.clone();
    let connection = Rc::new(HttpConnection::new(accepted));
    let chain = connection.chain_in_force();
    let Some(planned) = chain.http().map(|http| &http.shared.planned) else {
        return;
    };
    let (limits, idle) = (Limits::of(planned), IdleLimits::of(planned));
    drop(chain);
    let io = TokioIo::new(connection.activity.meter(io));
    let answering = Rc::clone(&connection);
    let service = service_fn(move |request| answer(Rc::clone(&answering), request));
    // How a connection ends was told request by request; that it ended is all that is left.
    if http2 {
        let serving = limits.http2().serve_connection(io, service);
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => return,
            () = connection.activity.idle_for(idle) => serving.as_mut().graceful_shutdown(),
            () = drain.started() => serving.as_mut().graceful_shutdown(),
        }
        connection.activity.end(serving).await;
    } else {
        let serving = limits.http1().serve_connection(io, service).with_upgrades();
        tokio::pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => return,
            () = connection.activity.idle_for(idle) => serving.as_mut().graceful_shutdown(),
            () = drain.started() => serving.as_mut().graceful_shutdown(),
        }
        connection.activity.end(serving).await;
    }
}

async fn answer(
    connection: Rc<HttpConnection>,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    Ok(exchange::run(&connection, request).await)
}

impl HttpConnection {
    fn new(accepted: Accepted) -> Self {
        let scheme = if accepted.peer.is_some() {
            "https"
        } else {
            "http"
        };
        let chain = ChainInForce {
            view: accepted.view,
            chain: accepted.chain,
        };
        Self {
            worker: accepted.worker,
            record: accepted.record,
            peer: accepted.peer,
            meant_for: accepted.meant_for,
            scheme,
            activity: Activity::new(),
            listener: accepted.listener,
            chain: RefCell::new(Rc::new(chain)),
            caller: RefCell::default(),
        }
    }

    /// The chain as it is in force now: a connection outlives changes of configuration, and each
    /// request runs on the newest one.
    pub(crate) fn chain_in_force(&self) -> Rc<ChainInForce> {
        let view = self.worker.view();
        let mut current = self.chain.borrow_mut();
        if !Rc::ptr_eq(&current.view, &view) {
            let chain = view
                .live
                .listener(&self.listener)
                .and_then(|listener| listener.successor_of(&current.chain))
                .unwrap_or(&current.chain)
                .clone();
            *current = Rc::new(ChainInForce { view, chain });
        }
        Rc::clone(&current)
    }

    /// A request as decisions see it.
    pub(crate) fn view_of<'a>(&self, head: &'a Parts) -> RequestHead<'a> {
        RequestHead {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            authority: headers::authority(&head.headers),
            scheme: self.scheme,
            headers: &head.headers,
            claims: None,
        }
    }

    /// What header edits may say of the connection.
    pub(crate) fn edit_facts(&self) -> EditFacts<'_> {
        EditFacts {
            remote_address: Some(self.record.remote),
            local_address: Some(self.record.local),
            peer: self
                .peer
                .as_ref()
                .and_then(|peer| Some(peer.identity.as_ref()?.as_str())),
            server_name: self.record.server_name.as_deref(),
            ..EditFacts::default()
        }
    }

    /// The connection as decisions see it.
    pub(crate) fn facts(&self) -> ConnectionFacts<'_> {
        let transport = if self.peer.is_some() {
            TransportProtocol::Tls
        } else {
            TransportProtocol::RawBuffer
        };
        ConnectionFacts {
            source: self.record.remote,
            destination: self.meant_for,
            server_name: self.record.server_name.as_deref(),
            transport,
            application_protocols: &[],
            peer: self.peer.as_ref().and_then(|peer| peer.identity.as_ref()),
        }
    }

    /// Who a caller says it is. Callers say the same on every request of a connection, so what was
    /// read last is remembered.
    pub(crate) fn caller(&self, metadata: HeaderValue) -> Option<Interned<PeerLabels>> {
        let mut last = self.caller.borrow_mut();
        if let Some((value, labels)) = last.as_ref()
            && *value == metadata
        {
            return Some(labels.clone());
        }
        let labels = self
            .worker
            .intern_peer(PeerMetadataHeaders::read(&metadata)?);
        *last = Some((metadata, labels.clone()));
        Some(labels)
    }
}

/// Two of these are told apart by the configuration they are part of.
impl fmt::Debug for ChainInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at generation {}",
            self.chain.planned.name, self.view.live.generation
        )
    }
}

impl ChainInForce {
    /// A rule of its route table.
    pub(crate) fn route(&self, id: RouteId) -> Option<Matched<'_>> {
        self.http()?.router.as_ref()?.by_id(id)
    }

    /// What it says about requests; none if it has come to pass bytes on.
    pub(crate) fn http(&self) -> Option<&HttpChain> {
        match &self.chain.terminal {
            LiveTerminal::Http(http) => Some(http),
            LiveTerminal::Tcp(_) => None,
        }
    }
}

/// What one connection may cost.
struct Limits {
    header_bytes: u32,
    streams: u32,
}

impl Limits {
    /// Envoy's limit on headers.
    const HEADER_KB: u32 = 60;
    const STREAMS: u32 = 100;
    const STREAM_WINDOW: u32 = 256 * 1024;
    const CONNECTION_WINDOW: u32 = 1024 * 1024;
    /// Streams that were reset and not yet forgotten: more of them is an attack (rapid reset).
    const RESET_STREAMS: usize = 50;

    fn of(planned: &HttpConnectionManager) -> Self {
        let kb = planned.max_request_headers_kb.unwrap_or(Self::HEADER_KB);
        Self {
            header_bytes: kb.saturating_mul(1024),
            streams: planned.max_concurrent_streams.unwrap_or(Self::STREAMS),
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            .max_buf_size((self.header_bytes as usize).max(8 * 1024))
            .max_headers(headers::MAX_FIELDS);
        builder
    }

    fn http2(&self) -> http2::Builder<LocalExecutor> {
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(Self::STREAM_WINDOW)
            .initial_connection_window_size(Self::CONNECTION_WINDOW)
            .max_concurrent_streams(self.streams)
            .max_pending_accept_reset_streams(Self::RESET_STREAMS)
            .max_local_error_reset_streams(Self::RESET_STREAMS)
            .max_header_list_size(self.header_bytes);
        builder
    }
}

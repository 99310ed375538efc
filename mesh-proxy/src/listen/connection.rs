//! The life of a connection: whose it is, what it speaks, its chain, TLS, then requests or bytes.

use std::{rc::Rc, sync::Arc};

use mesh_core::dataplane::{HttpCodec, Name, TransportProtocol};
use mesh_routing::{AccessRequest, ConnectionFacts};
use mesh_tls::{HANDSHAKE_TIMEOUT, Peer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    capture::listener_for,
    detect::{Detected, detect, detect_http2},
};
use crate::{
    http::{self, Accepted, ResponseFlags},
    live::{LiveChain, LiveListener, LiveTerminal},
    net::{Arrival, Rewind},
    tcp,
    telemetry::{ConnectionRecord, TcpRecord},
    worker::{View, Worker},
};

/// A connection whose chain has been chosen.
struct Chosen {
    worker: Rc<Worker>,
    view: Rc<View>,
    listener: Arc<LiveListener>,
    chain: Arc<LiveChain>,
    record: ConnectionRecord,
    peer: Option<Peer>,
    http2: bool,
}

/// Serves one connection from its arrival to its end.
pub(crate) async fn serve(worker: Rc<Worker>, accepting: Name, arrival: Arrival) {
    let _counted = worker.count_connection();
    let view = worker.view();
    let Some(accepting) = view.live.listener(&accepting) else {
        return;
    };
    let listener = Arc::clone(listener_for(&view.live, accepting, arrival.meant_for));
    let Arrival {
        mut stream,
        source,
        local,
        meant_for,
    } = arrival;
    let Ok(mut detected) = detect(&mut stream, &listener.planned.listener_filters).await else {
        return;
    };
    let chain = choose(&listener, source, meant_for, &detected);
    let record = ConnectionRecord {
        direction: listener.planned.direction,
        remote: source,
        local: meant_for,
        accepted_on: local,
        server_name: detected.server_name.take().map(Into::into),
        peer: None,
        mutual_tls: false,
    };
    let Some(chain) = chain else {
        let mut told = TcpRecord::begin(Rc::new(record));
        told.flags = ResponseFlags::NO_ROUTE;
        told.details = "filter_chain_not_found".into();
        return worker.tell_refused(told, &listener.access_log);
    };
    let http2 = detected.http2;
    let chosen = Chosen {
        worker,
        view,
        listener,
        chain,
        record,
        peer: None,
        http2,
    };
    secure(Rewind::new(detected.seen, stream), chosen).await;
}

fn choose(
    listener: &LiveListener,
    source: std::net::SocketAddr,
    destination: std::net::SocketAddr,
    detected: &Detected,
) -> Option<Arc<LiveChain>> {
    let protocols: Vec<&str> = detected.protocols.iter().map(String::as_str).collect();
    let facts = ConnectionFacts {
        source,
        destination,
        server_name: detected.server_name.as_deref(),
        transport: detected.transport.unwrap_or(TransportProtocol::RawBuffer),
        application_protocols: &protocols,
        peer: None,
    };
    listener.chain_for(&facts).cloned()
}

/// Ends TLS where the chain does. A caller that fails the handshake has been told why by TLS.
async fn secure<IO>(io: Rewind<IO>, mut chosen: Chosen)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(acceptor) = chosen.chain.acceptor.clone() else {
        return admit(io, chosen).await;
    };
    let limit = chosen.chain.planned.handshake_timeout;
    let accepting = timeout(limit.unwrap_or(HANDSHAKE_TIMEOUT), acceptor.accept(io));
    match accepting.await {
        Ok(Ok((io, peer))) => {
            chosen.record.peer = chosen.worker.principal_of(&peer);
            chosen.record.mutual_tls = peer.certificate.is_some();
            chosen.record.server_name = peer
                .server_name
                .as_deref()
                .map(Into::into)
                .or_else(|| chosen.record.server_name.take());
            chosen.http2 = peer.alpn.as_deref() == Some(b"h2");
            chosen.peer = Some(peer);
            admit(io, chosen).await;
        }
        Ok(Err(_)) | Err(_) => chosen.worker.tell_handshake_failure(),
    }
}

/// Asks whether the caller may connect at all.
async fn admit<IO>(io: IO, chosen: Chosen)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let identity = chosen.peer.as_ref().and_then(|peer| peer.identity.as_ref());
    let connection = ConnectionFacts {
        source: chosen.record.remote,
        destination: chosen.record.local,
        server_name: chosen.record.server_name.as_deref(),
        transport: match chosen.peer {
            Some(_) => TransportProtocol::Tls,
            None => TransportProtocol::RawBuffer,
        },
        application_protocols: &[],
        peer: identity,
    };
    let remote = chosen.record.remote.ip();
    let request = AccessRequest {
        head: None,
        connection: &connection,
        remote,
        claims: None,
    };
    let verdicts = chosen.chain.network_access.iter();
    let denied = verdicts
        .map(|access| access.check(&request))
        .find(|verdict| !verdict.is_allowed())
        .map(|verdict| verdict.to_string());
    match denied {
        None => carry(io, chosen).await,
        Some(reason) => deny(chosen, reason),
    }
}

/// Tells of a caller that may not connect. Where requests are served there is none to tell of.
fn deny(chosen: Chosen, reason: String) {
    chosen.worker.count_denied();
    if let LiveTerminal::Tcp(tcp) = &chosen.chain.terminal {
        let mut told = TcpRecord::begin(Rc::new(chosen.record));
        told.termination = Some(reason.into());
        chosen.worker.tell_closed(told, &tcp.access_log);
    }
}

async fn carry<IO>(mut io: IO, chosen: Chosen)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let http = match &chosen.chain.terminal {
        LiveTerminal::Tcp(tcp) => {
            let mut told = TcpRecord::begin(Rc::new(chosen.record));
            let worker = Rc::clone(&chosen.worker);
            tcp::serve(io, worker, chosen.view, tcp, &mut told).await;
            return chosen.worker.tell_closed(told, &tcp.access_log);
        }
        LiveTerminal::Http(http) => http,
    };
    let codec = http.shared.planned.codec;
    let tls_decided = chosen.peer.as_ref().is_some_and(|peer| peer.alpn.is_some());
    let accepted = Accepted {
        worker: chosen.worker,
        meant_for: chosen.record.local,
        record: Rc::new(chosen.record),
        peer: chosen.peer,
        listener: chosen.listener.planned.name.clone(),
        view: chosen.view,
        chain: Arc::clone(&chosen.chain),
        http2: chosen.http2 || codec == HttpCodec::Http2,
    };
    if codec != HttpCodec::Auto || tls_decided || accepted.http2 {
        return http::serve(io, accepted).await;
    }
    let Ok((seen, http2)) = detect_http2(&mut io, bytes::Bytes::new()).await else {
        return;
    };
    http::serve(Rewind::new(seen, io), Accepted { http2, ..accepted }).await;
}

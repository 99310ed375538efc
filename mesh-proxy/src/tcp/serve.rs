use std::rc::Rc;

use mesh_core::dataplane::EndpointAddress;
use mesh_routing::{Dice, action::hash_of_address, resilience::Outcome};
use tokio::io::{AsyncRead, AsyncWrite};

use super::relay::{Relayed, relay};
use crate::{
    http::Failure,
    live::TcpChain,
    telemetry::{TcpRecord, UpstreamRecord},
    upstream::{Choice, OpenConnection, Opened, Picked, Target, Upstream},
    worker::{View, Worker},
};

/// Passes a connection on to a cluster, and notes in its record how that went.
pub(crate) async fn serve<IO>(
    io: IO,
    worker: Rc<Worker>,
    view: Rc<View>,
    chain: &TcpChain,
    record: &mut TcpRecord,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let reached = match reach(&worker, &view, chain, record).await {
        Ok(reached) => reached,
        Err(failure) => return record.failed(&failure),
    };
    worker.tell_opened(record);
    let relayed = Relayed::default();
    // However it ends, both sides have been told by the end of their streams.
    let _ = relay(io, reached.opened.stream, chain.idle_timeout, &relayed).await;
    record.bytes_received = relayed.received.get();
    record.bytes_sent = relayed.sent.get();
}

/// A connection to an instance, with what it holds as long as it lasts.
struct Reached {
    opened: Opened,
    _picked: Picked,
    _place: OpenConnection,
}

async fn reach(
    worker: &Worker,
    view: &View,
    chain: &TcpChain,
    record: &mut TcpRecord,
) -> Result<Reached, Failure> {
    let seed = worker.draw();
    let cluster = chain
        .split
        .choose(None, seed)
        .ok_or(Failure::NoRoute)?
        .cluster;
    record.upstream = Some(UpstreamRecord::unknown(cluster));
    let upstream = view
        .upstream(cluster)
        .ok_or(Failure::NoCluster { status: 503 })?;
    record.upstream = Some(UpstreamRecord::of(upstream));
    let source = record.connection.remote.ip();
    let choice = Choice {
        hash: chain.hash_source.then(|| hash_of_address(source)),
        avoid: &[],
        leave: &[],
        named: Some(EndpointAddress::Socket(record.connection.local)),
    };
    let picked = upstream.pick(&choice, &mut Dice::new(seed))?;
    if let Some(told) = &mut record.upstream {
        told.reached(&picked.host);
    }
    let place = picked
        .host
        .admit_connection(&upstream.breaker, &upstream.cluster.planned.limits)
        .ok_or(Failure::Overflow)?;
    let opened = open(worker, upstream, &picked).await;
    let outcome = match &opened {
        Ok(_) => Outcome::Response {
            status: 200,
            grpc_status: None,
        },
        Err(_) => Outcome::ConnectFailure,
    };
    upstream.judge(picked.index, &outcome);
    let opened = opened?;
    if let Some(told) = &mut record.upstream {
        told.address = Some(opened.remote);
        told.local = opened.local;
        told.peer = opened
            .peer
            .as_ref()
            .and_then(|peer| worker.principal_of(peer));
    }
    Ok(Reached {
        opened,
        _picked: picked,
        _place: place,
    })
}

async fn open(worker: &Worker, upstream: &Upstream, picked: &Picked) -> Result<Opened, Failure> {
    let planned = &upstream.cluster.planned;
    let target = Target {
        address: &picked.host.key.address,
        source: planned.bind_source,
        security: picked.host.security(),
        connect_timeout: planned.connect_timeout,
        keepalive: planned.tcp_keepalive,
        requested_host: None,
    };
    worker.settings.dialer.open(target).await
}

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use hyper::client::conn::{http1, http2};
use mesh_core::{
    dataplane::{CircuitLimits, Cluster, EndpointAddress, UpstreamProtocol},
    name::Labels,
};
use mesh_routing::resilience::{Admission, CircuitBreaker};
use mesh_tls::Peer;
use tokio::sync::{Mutex, Notify};

use super::connect::{Dialer, Opened, Target};
use crate::{
    http::{AttemptBody, Failure},
    live::ClientSecurity,
    runtime::LocalExecutor,
    telemetry::{Interned, PeerLabels, Principal},
};

/// One instance and the connections to it.
pub(crate) struct Host {
    pub(crate) key: HostKey,
    pub(crate) workload: Option<Interned<PeerLabels>>,
    security: Option<Arc<ClientSecurity>>,
    idle: RefCell<Vec<Http1Connection>>,
    shared: RefCell<Option<Http2Connection>>,
    /// Held while a shared connection is opened, so that callers wait for it instead of opening
    /// their own.
    opening: Mutex<()>,
    connections: Rc<Cell<u32>>,
    /// Told whenever a connection may be used again, or has made room for another.
    freed: Rc<Notify>,
}

/// What makes two instances the same one across changes of configuration: connections to it may
/// then be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostKey {
    pub(crate) address: EndpointAddress,
    pub(crate) tls_labels: Labels,
}

/// What is known of a connection to an instance.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionFacts {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<Interned<Principal>>,
}

/// A connection that carries one request at a time.
pub(crate) struct Http1Connection {
    pub(crate) sender: http1::SendRequest<AttemptBody>,
    pub(crate) facts: Rc<ConnectionFacts>,
    requests: u32,
    opened: Instant,
    idle_since: Instant,
}

/// A connection that carries many.
#[derive(Clone)]
pub(crate) struct Http2Connection {
    pub(crate) sender: http2::SendRequest<AttemptBody>,
    pub(crate) facts: Rc<ConnectionFacts>,
    requests: Rc<Cell<u32>>,
    opened: Instant,
}

/// How a host is to be connected to.
pub(crate) struct Connecting<'a> {
    pub(crate) dialer: &'a Dialer,
    pub(crate) cluster: &'a Cluster,
    pub(crate) breaker: &'a CircuitBreaker,
    pub(crate) requested_host: Option<&'a str>,
    pub(crate) principal: &'a dyn Fn(&Peer) -> Option<Interned<Principal>>,
}

impl Host {
    /// Connections that are kept open without work, per instance and worker.
    const MAX_IDLE: usize = 512;

    pub(crate) fn new(
        key: HostKey,
        workload: Option<Interned<PeerLabels>>,
        security: Option<Arc<ClientSecurity>>,
    ) -> Self {
        Self {
            key,
            workload,
            security,
            idle: RefCell::default(),
            shared: RefCell::default(),
            opening: Mutex::default(),
            connections: Rc::default(),
            freed: Rc::default(),
        }
    }

    /// Whether it is still protected the same way.
    pub(crate) fn has_security(&self, security: Option<&Arc<ClientSecurity>>) -> bool {
        match (&self.security, security) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }

    /// How connections to it are protected.
    pub(crate) fn security(&self) -> Option<&ClientSecurity> {
        self.security.as_deref()
    }

    /// Connections that are open.
    pub(crate) fn connection_count(&self) -> u32 {
        self.connections.get()
    }

    /// An idle connection that still works, the most recently used first.
    pub(crate) fn idle_http1(&self, cluster: &Cluster) -> Option<Http1Connection> {
        let idle_limit = cluster.idle_timeout.unwrap_or(Cluster::IDLE_TIMEOUT);
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if !connection.sender.is_closed()
                && connection.idle_since.elapsed() < idle_limit
                && !is_old(connection.opened, cluster)
            {
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back whose answer is complete.
    pub(crate) fn give_back(&self, mut connection: Http1Connection, cluster: &Cluster) {
        let worn = cluster
            .max_requests_per_connection
            .is_some_and(|max| max > 0 && connection.requests >= max)
            || is_old(connection.opened, cluster);
        let mut idle = self.idle.borrow_mut();
        if worn || connection.sender.is_closed() || idle.len() >= Self::MAX_IDLE {
            return;
        }
        connection.idle_since = Instant::now();
        idle.push(connection);
        drop(idle);
        self.freed.notify_one();
    }

    /// Leave to open a connection, if the cluster may have one more. An instance without any may
    /// always be given one, as by Envoy: nobody could ever be served there otherwise.
    pub(crate) fn admit_connection(
        &self,
        breaker: &CircuitBreaker,
        limits: &CircuitLimits,
    ) -> Option<OpenConnection> {
        let alone = self.connections.get() == 0;
        let limits = if alone {
            &CircuitLimits::default()
        } else {
            limits
        };
        let admission = breaker.connection(limits).ok()?;
        self.connections.set(self.connections.get() + 1);
        Some(OpenConnection {
            count: Rc::clone(&self.connections),
            freed: Rc::clone(&self.freed),
            _admission: admission,
        })
    }

    /// Waits until a connection is free or there is room for another.
    pub(crate) async fn until_freed(&self) {
        self.freed.notified().await;
    }

    pub(crate) async fn open_http1(
        &self,
        connecting: &Connecting<'_>,
        place: OpenConnection,
    ) -> Result<Http1Connection, Failure> {
        let (opened, facts) = self.open(connecting).await?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(false)
            .max_buf_size(Self::READ_AHEAD)
            .handshake(hyper_util::rt::TokioIo::new(opened.stream))
            .await
            .map_err(reset)?;
        drive(connection.with_upgrades(), place);
        Ok(Http1Connection {
            sender,
            facts,
            requests: 0,
            opened: Instant::now(),
            idle_since: Instant::now(),
        })
    }

    /// The shared connection, opened if there is none.
    pub(crate) async fn shared_http2(
        &self,
        connecting: &Connecting<'_>,
    ) -> Result<Http2Connection, Failure> {
        if let Some(connection) = self.usable_http2(connecting.cluster) {
            return Ok(connection);
        }
        let _waiting = connecting.wait()?;
        let _opening = self.opening.lock().await;
        let place = loop {
            if let Some(connection) = self.usable_http2(connecting.cluster) {
                return Ok(connection);
            }
            match self.admit_connection(connecting.breaker, &connecting.cluster.limits) {
                Some(place) => break place,
                None => self.until_freed().await,
            }
        };
        let (opened, facts) = self.open(connecting).await?;
        let mut builder = http2::Builder::new(LocalExecutor);
        builder
            .initial_stream_window_size(Self::STREAM_WINDOW)
            .initial_connection_window_size(Self::CONNECTION_WINDOW)
            .timer(hyper_util::rt::TokioTimer::new());
        if let Some(pings) = connecting.cluster.http2_keepalive {
            builder
                .keep_alive_interval(pings.interval)
                .keep_alive_timeout(pings.timeout)
                .keep_alive_while_idle(true);
        }
        let (sender, connection) = builder
            .handshake(hyper_util::rt::TokioIo::new(opened.stream))
            .await
            .map_err(reset)?;
        drive(connection, place);
        let connection = Http2Connection {
            sender,
            facts,
            requests: Rc::new(Cell::new(1)),
            opened: Instant::now(),
        };
        *self.shared.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }

    /// What is read of an answer before its caller takes it, in bytes; also the most its headers may
    /// take (Envoy's limit is 60 KiB).
    const READ_AHEAD: usize = 64 * 1024;
    const STREAM_WINDOW: u32 = 256 * 1024;
    const CONNECTION_WINDOW: u32 = 1024 * 1024;

    fn usable_http2(&self, cluster: &Cluster) -> Option<Http2Connection> {
        let mut shared = self.shared.borrow_mut();
        let connection = shared.as_ref()?;
        let worn = cluster
            .max_requests_per_connection
            .is_some_and(|max| max > 0 && connection.requests.get() >= max)
            || is_old(connection.opened, cluster);
        if worn || connection.sender.is_closed() {
            *shared = None;
            return None;
        }
        connection.requests.set(connection.requests.get() + 1);
        Some(connection.clone())
    }

    async fn open(
        &self,
        connecting: &Connecting<'_>,
    ) -> Result<(Opened, Rc<ConnectionFacts>), Failure> {
        let opened = connecting
            .dialer
            .open(Target {
                address: &self.key.address,
                source: connecting.cluster.bind_source,
                security: self.security.as_deref(),
                connect_timeout: connecting.cluster.connect_timeout,
                keepalive: connecting.cluster.tcp_keepalive,
                requested_host: connecting.requested_host,
            })
            .await?;
        let facts = Rc::new(ConnectionFacts {
            remote: opened.remote,
            local: opened.local,
            peer: opened.peer.as_ref().and_then(connecting.principal),
        });
        Ok((opened, facts))
    }
}

/// A connection's place among those its cluster may have. Dropping it gives the place back.
pub(crate) struct OpenConnection {
    count: Rc<Cell<u32>>,
    freed: Rc<Notify>,
    _admission: Admission,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        self.freed.notify_one();
    }
}

impl Connecting<'_> {
    /// Leave to wait for a connection.
    pub(crate) fn wait(&self) -> Result<Admission, Failure> {
        let waiting = self.breaker.pending(&self.cluster.limits);
        waiting.map_err(|_| Failure::Overflow)
    }
}

/// Lets a connection run until it ends.
fn drive(connection: impl Future<Output = hyper::Result<()>> + 'static, place: OpenConnection) {
    tokio::task::spawn_local(async move {
        // Whoever waits for an answer on it learns of its end from hyper.
        let _ = connection.await;
        drop(place);
    });
}

impl Http1Connection {
    pub(crate) fn count_request(&mut self) {
        self.requests += 1;
    }
}

/// Whether a connection has lived as long as it may. What is under way on it ends in peace.
fn is_old(opened: Instant, cluster: &Cluster) -> bool {
    let limit = cluster.max_connection_duration;
    limit.is_some_and(|limit| opened.elapsed() >= limit)
}

/// Whether requests to a cluster share connections.
pub(crate) fn speaks_http2(protocol: UpstreamProtocol, downstream: http::Version) -> bool {
    match protocol {
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
        UpstreamProtocol::UseDownstream => downstream == http::Version::HTTP_2,
    }
}

fn reset(error: hyper::Error) -> Failure {
    Failure::UpstreamReset {
        reason: error.to_string(),
    }
}

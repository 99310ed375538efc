use std::{
    borrow::Cow,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, request::Parts};
use mesh_core::{
    dataplane::{Direction, EndpointAddress, Origin, ServiceRef},
    identity::SpiffeId,
};
use mesh_routing::RouteId;

use super::Interned;
use crate::{
    http::{ChainInForce, ResponseFlags},
    upstream::{ConnectionFacts, Host, Upstream},
};

/// Everything worth telling about one request, collected on its way and reported once.
#[derive(Debug)]
pub struct RequestRecord {
    /// When it came.
    pub start: SystemTime,
    /// When it came, for durations.
    pub(crate) started: Instant,
    /// How long it took, from its first byte to the last byte of its answer.
    pub duration: Duration,
    /// Which side of the call this proxy was on.
    pub side: Side,
    /// The connection it came on.
    pub connection: Rc<ConnectionRecord>,
    /// Method.
    pub method: Method,
    /// Path and query, as they came.
    pub uri: Uri,
    /// The host that was asked for.
    pub authority: Option<HeaderValue>,
    /// The caller's protocol.
    pub protocol: Version,
    /// Whether it was a gRPC call.
    pub grpc: bool,
    /// The status that was answered; none if the caller went away before.
    pub status: Option<StatusCode>,
    /// gRPC's own status, from headers or trailers.
    pub grpc_status: Option<u8>,
    /// What went wrong, in short.
    pub flags: ResponseFlags,
    /// How the answer came about, as Envoy words it.
    pub details: Cow<'static, str>,
    /// What the network said of a failed upstream connection.
    pub transport_failure: Option<String>,
    /// Bytes of the request's body.
    pub bytes_received: u64,
    /// Bytes of the answer's body.
    pub bytes_sent: u64,
    /// How often it was sent.
    pub attempts: u32,
    /// Where it was sent last.
    pub upstream: Option<UpstreamRecord>,
    /// From sending it to the first byte of the answer.
    pub upstream_service_time: Option<Duration>,
    /// The rule that decided.
    pub(crate) route: Option<(Rc<ChainInForce>, RouteId)>,
    /// Request headers that logs ask for, after edits.
    pub request_headers: HeaderMap,
    /// Who called, as far as it said.
    pub source: Option<Interned<PeerLabels>>,
}

/// Where a request was sent.
#[derive(Debug, Clone)]
pub struct UpstreamRecord {
    /// The cluster.
    pub cluster: Rc<str>,
    /// The service it stands for, if it stands for one.
    pub service: Option<Interned<ServiceRef>>,
    /// The instance; none when there was none to call.
    pub address: Option<SocketAddr>,
    /// This end of the connection.
    pub local: Option<SocketAddr>,
    /// What the instance runs.
    pub workload: Option<Interned<PeerLabels>>,
    /// Who it proved to be.
    pub peer: Option<Interned<Principal>>,
}

/// What is known of a connection that came in.
#[derive(Debug, Clone)]
pub struct ConnectionRecord {
    /// Which way traffic flows.
    pub direction: Direction,
    /// The caller's address.
    pub remote: SocketAddr,
    /// The address it reached, as it meant it.
    pub local: SocketAddr,
    /// The address it was accepted on.
    pub accepted_on: SocketAddr,
    /// The SNI it asked for.
    pub server_name: Option<Box<str>>,
    /// Who it proved to be.
    pub peer: Option<Interned<Principal>>,
    /// Whether both sides proved who they are.
    pub mutual_tls: bool,
}

/// Who somebody proved to be; none if the limit of identities to tell apart is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Principal(pub Option<SpiffeId>);

/// Which side of a call a proxy is on: Istio's `reporter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Beside the caller, or at the edge.
    Source,
    /// Beside the destination.
    Destination,
}

/// What metrics call a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerLabels {
    /// The owner's name, such as a Deployment's.
    pub workload: Box<str>,
    /// Namespace.
    pub namespace: Box<str>,
    /// Canonical service name.
    pub canonical_name: Box<str>,
    /// Canonical revision.
    pub canonical_revision: Box<str>,
    /// The label `app`.
    pub app: Box<str>,
    /// The label `version`.
    pub version: Box<str>,
    /// The cluster it runs in.
    pub cluster: Box<str>,
}

impl RequestRecord {
    /// Starts a record with what a request says of itself.
    pub(crate) fn begin(connection: Rc<ConnectionRecord>, head: &Parts) -> Self {
        Self {
            start: SystemTime::now(),
            started: Instant::now(),
            duration: Duration::ZERO,
            side: Side::of(connection.direction),
            connection,
            method: head.method.clone(),
            uri: head.uri.clone(),
            authority: None,
            protocol: head.version,
            grpc: false,
            status: None,
            grpc_status: None,
            flags: ResponseFlags::default(),
            details: Cow::Borrowed(""),
            transport_failure: None,
            bytes_received: 0,
            bytes_sent: 0,
            attempts: 0,
            upstream: None,
            upstream_service_time: None,
            route: None,
            request_headers: HeaderMap::new(),
            source: None,
        }
    }

    /// The rule that decided.
    pub fn route_name(&self) -> Option<&str> {
        let (chain, id) = self.route.as_ref()?;
        Some(&chain.route(*id)?.planned.name)
    }

    /// The written resource the rule came from.
    pub fn route_origin(&self) -> Option<&Origin> {
        let (chain, id) = self.route.as_ref()?;
        chain.route(*id)?.planned.origin.as_ref()
    }

    /// An instance was chosen.
    pub(crate) fn reached(&mut self, host: &Host) {
        if let Some(upstream) = &mut self.upstream {
            upstream.reached(host);
        }
    }

    /// A connection to the instance was found.
    pub(crate) fn connected(&mut self, facts: &ConnectionFacts) {
        let Some(upstream) = &mut self.upstream else {
            return;
        };
        upstream.address = Some(facts.remote);
        upstream.local = facts.local;
        upstream.peer = facts.peer.clone();
    }
}

impl UpstreamRecord {
    /// A cluster that does not exist.
    pub(crate) fn unknown(cluster: &str) -> Self {
        Self {
            cluster: cluster.into(),
            service: None,
            address: None,
            local: None,
            workload: None,
            peer: None,
        }
    }

    /// An instance was chosen.
    pub(crate) fn reached(&mut self, host: &Host) {
        self.workload = host.workload.clone();
        self.peer = None;
        self.local = None;
        self.address = match &host.key.address {
            EndpointAddress::Socket(address) => Some(*address),
            EndpointAddress::Dns(..) => None,
        };
    }

    /// A cluster of which no instance is chosen yet.
    pub(crate) fn of(upstream: &Upstream) -> Self {
        Self {
            cluster: Rc::clone(&upstream.name),
            service: upstream.service.clone(),
            ..Self::unknown("")
        }
    }
}

impl Side {
    /// Inbound traffic is seen by the destination, all other by the source.
    pub fn of(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Destination,
            Direction::Outbound | Direction::Unspecified => Self::Source,
        }
    }
}

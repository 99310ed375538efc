//! The names istiod gives to what it plans: people, dashboards and other control planes know them.

use std::fmt::Display;

use crate::dataplane::Name;

/// Where calls to addresses nobody declared go, as they are.
pub(super) const PASSTHROUGH: &str = "PassthroughCluster";
/// Where nothing goes.
pub(super) const BLACK_HOLE: &str = "BlackHoleCluster";
/// Where requests go whose destination may not be used; it never exists.
pub(super) const NOWHERE: &str = "UnknownService";
/// Where calls to ports of this workload that no service declares go, as they are.
pub(super) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// The listener for what the workload calls.
pub(super) const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// The listener for what calls the workload.
pub(super) const VIRTUAL_INBOUND: &str = "virtualInbound";
/// The route table of the explicit proxy port.
pub(super) const HTTP_PROXY: &str = "http_proxy";
/// The port of [`VIRTUAL_OUTBOUND`].
pub(super) const OUTBOUND_PORT: u16 = 15001;
/// The port of [`VIRTUAL_INBOUND`].
pub(super) const INBOUND_PORT: u16 = 15006;

/// `outbound|9080|v1|reviews.default.svc.cluster.local`.
pub(super) fn outbound(port: u16, subset: &str, host: impl Display) -> Name {
    format!("outbound|{port}|{subset}|{host}").into()
}

/// `inbound|9080||`.
pub(super) fn inbound(port: u16) -> Name {
    format!("inbound|{port}||").into()
}

/// What a proxy asks for in mutual TLS:
/// `outbound_.9080_.v1_.reviews.default.svc.cluster.local`.
pub(super) fn server_name(port: u16, subset: &str, host: impl Display) -> Name {
    format!("outbound_.{port}_.{subset}_.{host}").into()
}

/// Host and port of an `outbound|...` cluster.
pub(super) fn host_and_port(cluster: &str) -> Option<(&str, u16)> {
    let mut parts = cluster.split('|');
    let (direction, port, _subset) = (parts.next()?, parts.next()?, parts.next()?);
    let host = parts.next()?;
    (direction == "outbound").then_some((host, port.parse().ok()?))
}

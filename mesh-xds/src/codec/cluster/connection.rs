//! What connections to instances do beside protecting what they carry: probes, and a header that
//! tells who calls.

use std::time::Duration;

use mesh_core::dataplane::{ProxyProtocol, TcpKeepalive};

use crate::{
    codec::{
        any::{holds, pack, unpack},
        reader::{Reader, Unread},
        scalar::number,
        security::plain_socket,
    },
    proto::{cluster as v3, core, upstream_proxy_protocol::ProxyProtocolUpstreamTransport, wkt},
};
use core::{proxy_protocol_config::Version, transport_socket::ConfigType};

const PROXY_PROTOCOL: &str = "envoy.transport_sockets.upstream_proxy_protocol";

/// The system counts in whole seconds.
pub(super) fn write_keepalive(wire: &mut v3::Cluster, value: Option<&TcpKeepalive>) {
    let seconds =
        |time: Option<Duration>| number(u32::try_from(time?.as_secs()).unwrap_or(u32::MAX).max(1));
    wire.upstream_connection_options = value.map(|value| v3::UpstreamConnectionOptions {
        tcp_keepalive: Some(core::TcpKeepalive {
            keepalive_probes: value.probes.and_then(number),
            keepalive_time: seconds(value.time),
            keepalive_interval: seconds(value.interval),
        }),
        ..Default::default()
    });
}

pub(super) fn read_keepalive(r: &mut Reader, wire: &mut v3::Cluster) -> Option<TcpKeepalive> {
    let mut wire = wire.upstream_connection_options.take()?;
    let keepalive = wire.tcp_keepalive.take();
    r.within("upstream_connection_options", |r| {
        r.finish(wire, Unread::IGNORED);
    });
    let seconds = |value: Option<wkt::UInt32Value>| {
        value.map(|value| Duration::from_secs(value.value.into()))
    };
    keepalive.map(|keepalive| TcpKeepalive {
        probes: keepalive.keepalive_probes.map(|probes| probes.value),
        time: seconds(keepalive.keepalive_time),
        interval: seconds(keepalive.keepalive_interval),
    })
}

/// The header goes before whatever the sockets underneath say.
pub(super) fn write_proxy_protocol(wire: &mut v3::Cluster, value: Option<ProxyProtocol>) {
    let Some(value) = value else {
        return;
    };
    let version = match value {
        ProxyProtocol::V1 => Version::V1,
        ProxyProtocol::V2 => Version::V2,
    };
    let wrap = |socket: core::TransportSocket| core::TransportSocket {
        name: PROXY_PROTOCOL.into(),
        config_type: Some(ConfigType::TypedConfig(pack(
            &ProxyProtocolUpstreamTransport {
                config: Some(core::ProxyProtocolConfig {
                    version: version.into(),
                    ..Default::default()
                }),
                transport_socket: Some(socket),
                ..Default::default()
            },
        ))),
    };
    for entry in &mut wire.transport_socket_matches {
        entry.transport_socket = entry.transport_socket.take().map(wrap);
    }
    if wire.transport_socket_matches.is_empty() {
        let socket = wire.transport_socket.take().unwrap_or_else(plain_socket);
        wire.transport_socket = Some(wrap(socket));
    }
}

/// Takes the header off all sockets. One cluster tells who calls in one way.
pub(super) fn read_proxy_protocol(r: &mut Reader, wire: &mut v3::Cluster) -> Option<ProxyProtocol> {
    let matches = wire.transport_socket_matches.iter_mut();
    let mut sockets: Vec<_> = matches
        .filter_map(|entry| entry.transport_socket.as_mut())
        .chain(wire.transport_socket.as_mut())
        .collect();
    let forms: Vec<_> = sockets.iter_mut().map(|socket| unwrap(r, socket)).collect();
    let first = forms.first().copied().flatten();
    if forms.iter().any(|form| *form != first) {
        r.refuse("transport_socket_matches", "tell who calls in several ways");
    }
    first
}

fn unwrap(r: &mut Reader, socket: &mut core::TransportSocket) -> Option<ProxyProtocol> {
    let Some(ConfigType::TypedConfig(any)) = &socket.config_type else {
        return None;
    };
    if !holds::<ProxyProtocolUpstreamTransport>(any) {
        return None;
    }
    let mut wrapper: ProxyProtocolUpstreamTransport = unpack(r, any)?;
    let mut config = wrapper.config.take().unwrap_or_default();
    *socket = wrapper.transport_socket.take().unwrap_or_else(plain_socket);
    let form = match Version::try_from(std::mem::take(&mut config.version)) {
        Ok(Version::V1) => ProxyProtocol::V1,
        Ok(Version::V2) => ProxyProtocol::V2,
        Err(_) => {
            r.refuse("config.version", "is unknown");
            ProxyProtocol::V1
        }
    };
    r.within("upstream_proxy_protocol", |r| {
        r.finish(config, Unread::REFUSED);
        r.finish(wrapper, Unread::REFUSED);
    });
    Some(form)
}

//! What a cluster's instances speak.

use std::{mem::take, time::Duration};

use mesh_core::dataplane::{Cluster, Http2Keepalive, UpstreamProtocol};

use crate::{
    codec::{
        any::{holds, unpack},
        reader::{Reader, Unread},
        scalar::{duration, number, read_duration},
    },
    proto::{cluster as v3, core, upstream_http},
};
use upstream_http::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config,
};

/// None for plain HTTP/1.1, which needs no options.
pub(super) fn http_options(value: &Cluster) -> Option<upstream_http::HttpProtocolOptions> {
    let limited = value.idle_timeout.is_some()
        || value.max_requests_per_connection.is_some()
        || value.max_connection_duration.is_some();
    let common = limited.then(|| core::HttpProtocolOptions {
        idle_timeout: value.idle_timeout.map(duration),
        max_requests_per_connection: value.max_requests_per_connection.and_then(number),
        max_connection_duration: value.max_connection_duration.map(duration),
        ..Default::default()
    });
    let http2 = core::Http2ProtocolOptions {
        max_concurrent_streams: value.max_concurrent_streams.and_then(number),
        connection_keepalive: value.http2_keepalive.map(|pings| core::KeepaliveSettings {
            interval: Some(duration(pings.interval)),
            timeout: Some(duration(pings.timeout)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let explicit = |config| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })
    };
    let protocol = match value.protocol {
        UpstreamProtocol::Http1 if common.is_none() => return None,
        UpstreamProtocol::Http1 => explicit(
            explicit_http_config::ProtocolConfig::HttpProtocolOptions(Default::default()),
        ),
        UpstreamProtocol::Http2 => explicit(
            explicit_http_config::ProtocolConfig::Http2ProtocolOptions(http2),
        ),
        UpstreamProtocol::UseDownstream => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: Some(Default::default()),
                http2_protocol_options: Some(http2),
                http3_protocol_options: None,
            })
        }
    };
    Some(upstream_http::HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_protocol_options: Some(protocol),
        ..Default::default()
    })
}

#[derive(Debug, Default)]
pub(super) struct HttpOptions {
    pub(super) protocol: UpstreamProtocol,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_requests: Option<u32>,
    pub(super) max_duration: Option<Duration>,
    pub(super) max_streams: Option<u32>,
    pub(super) keepalive: Option<Http2Keepalive>,
}

#[expect(
    deprecated,
    reason = "older configurations set these on the cluster itself"
)]
pub(super) fn read_http_options(r: &mut Reader, wire: &mut v3::Cluster) -> HttpOptions {
    let mut read = HttpOptions::default();
    let mut common = wire.common_http_protocol_options.take();
    if let Some(options) = wire.http2_protocol_options.take() {
        read.protocol = UpstreamProtocol::Http2;
        read_http2(r, &mut read, options);
    }
    read.max_requests = wire.max_requests_per_connection.take().map(|max| max.value);
    let options = take(&mut wire.typed_extension_protocol_options);
    for (name, any) in options {
        if !holds::<upstream_http::HttpProtocolOptions>(&any) {
            r.ignore(
                &format!("typed_extension_protocol_options[{name}]"),
                "is not supported",
            );
            continue;
        }
        r.within("typed_extension_protocol_options", |r| {
            let Some(mut wire) = unpack::<upstream_http::HttpProtocolOptions>(r, &any) else {
                return;
            };
            if let Some(protocol) = wire.upstream_protocol_options.take() {
                read.protocol = read_protocol(r, &mut read, protocol);
            }
            common = wire
                .common_http_protocol_options
                .take()
                .or_else(|| common.take());
            r.finish(
                wire,
                Unread::IgnoredExcept(&["http_filters", "request_mirror_policies"]),
            );
        });
    }
    if let Some(mut common) = common {
        read.idle_timeout = read_duration(r, "idle_timeout", common.idle_timeout.take());
        read.max_duration = read_duration(
            r,
            "max_connection_duration",
            common.max_connection_duration.take(),
        );
        read.max_requests = common
            .max_requests_per_connection
            .take()
            .map(|max| max.value)
            .or(read.max_requests);
        r.within("common_http_protocol_options", |r| {
            r.finish(common, Unread::IGNORED)
        });
    }
    read
}

fn read_http2(r: &mut Reader, read: &mut HttpOptions, mut wire: core::Http2ProtocolOptions) {
    r.within("http2_protocol_options", |r| {
        read.max_streams = wire.max_concurrent_streams.take().map(|max| max.value);
        if let Some(mut pings) = wire.connection_keepalive.take() {
            let interval = read_duration(r, "interval", pings.interval.take());
            let timeout = read_duration(r, "timeout", pings.timeout.take());
            read.keepalive = interval
                .zip(timeout)
                .map(|(interval, timeout)| Http2Keepalive { interval, timeout });
            r.within("connection_keepalive", |r| r.finish(pings, Unread::IGNORED));
        }
        r.finish(wire, Unread::IGNORED);
    });
}

fn read_protocol(
    r: &mut Reader,
    read: &mut HttpOptions,
    wire: UpstreamProtocolOptions,
) -> UpstreamProtocol {
    use explicit_http_config::ProtocolConfig;
    match wire {
        UpstreamProtocolOptions::ExplicitHttpConfig(wire) => match wire.protocol_config {
            Some(ProtocolConfig::HttpProtocolOptions(wire)) => {
                r.within("http_protocol_options", |r| r.finish(wire, Unread::IGNORED));
                UpstreamProtocol::Http1
            }
            Some(ProtocolConfig::Http2ProtocolOptions(wire)) => {
                read_http2(r, read, wire);
                UpstreamProtocol::Http2
            }
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                r.refuse("http3_protocol_options", "is not supported");
                UpstreamProtocol::Http1
            }
            None => UpstreamProtocol::Http1,
        },
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(wire) => {
            if let Some(options) = wire.http2_protocol_options {
                read_http2(r, read, options);
            }
            UpstreamProtocol::UseDownstream
        }
        UpstreamProtocolOptions::AutoConfig(_) => {
            r.refuse("auto_config", "is not supported");
            UpstreamProtocol::Http1
        }
    }
}

//! What a cluster's instances speak.

use std::{mem::take, time::Duration};

use mesh_core::dataplane::{Cluster, UpstreamProtocol};

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
    let common = (value.idle_timeout.is_some() || value.max_requests_per_connection.is_some())
        .then(|| core::HttpProtocolOptions {
            idle_timeout: value.idle_timeout.map(duration),
            max_requests_per_connection: value.max_requests_per_connection.and_then(number),
            ..Default::default()
        });
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
            explicit_http_config::ProtocolConfig::Http2ProtocolOptions(Default::default()),
        ),
        UpstreamProtocol::UseDownstream => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: Some(Default::default()),
                http2_protocol_options: Some(Default::default()),
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
}

#[expect(
    deprecated,
    reason = "older configurations set these on the cluster itself"
)]
pub(super) fn read_http_options(r: &mut Reader, wire: &mut v3::Cluster) -> HttpOptions {
    let mut read = HttpOptions::default();
    let mut common = wire.common_http_protocol_options.take();
    if wire.http2_protocol_options.take().is_some() {
        read.protocol = UpstreamProtocol::Http2;
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
                read.protocol = read_protocol(r, protocol);
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

fn read_protocol(r: &mut Reader, wire: UpstreamProtocolOptions) -> UpstreamProtocol {
    use explicit_http_config::ProtocolConfig;
    match wire {
        UpstreamProtocolOptions::ExplicitHttpConfig(wire) => match wire.protocol_config {
            Some(ProtocolConfig::HttpProtocolOptions(wire)) => {
                r.within("http_protocol_options", |r| r.finish(wire, Unread::IGNORED));
                UpstreamProtocol::Http1
            }
            Some(ProtocolConfig::Http2ProtocolOptions(wire)) => {
                r.within("http2_protocol_options", |r| {
                    r.finish(wire, Unread::IGNORED)
                });
                UpstreamProtocol::Http2
            }
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                r.refuse("http3_protocol_options", "is not supported");
                UpstreamProtocol::Http1
            }
            None => UpstreamProtocol::Http1,
        },
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(_) => UpstreamProtocol::UseDownstream,
        UpstreamProtocolOptions::AutoConfig(_) => {
            r.refuse("auto_config", "is not supported");
            UpstreamProtocol::Http1
        }
    }
}

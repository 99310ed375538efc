//! What expressions may ask of a record.

use std::{borrow::Cow, net::SocketAddr};

use mesh_core::{dataplane::Direction, expression::Attribute};
use mesh_routing::expression::{Attributes, Value};

use super::{PeerLabels, Principal, Told};

/// Headers that are attributes of their own.
pub(super) const OWN_HEADERS: [(Attribute, &str); 3] = [
    (Attribute::RequestReferer, "referer"),
    (Attribute::RequestUserAgent, "user-agent"),
    (Attribute::RequestId, "x-request-id"),
];

impl Attributes for Told<'_> {
    fn value(&self, attribute: Attribute) -> Option<Value<'_>> {
        self.of_request(attribute)
            .or_else(|| self.of_connection(attribute))
            .or_else(|| self.of_upstream(attribute))
    }

    /// Of headers only those are kept that the log asks for.
    fn key(&self, attribute: Attribute, key: &str) -> Option<Cow<'_, str>> {
        let headers = match attribute {
            Attribute::RequestHeaders => &self.request()?.request_headers,
            _ => return None,
        };
        let value = headers.get(key)?;
        Some(String::from_utf8_lossy(value.as_bytes()))
    }

    fn entries(&self, _: Attribute) -> Option<usize> {
        None
    }
}

impl<'a> Told<'a> {
    fn of_request(self, attribute: Attribute) -> Option<Value<'a>> {
        let record = self.request()?;
        let uri = &record.uri;
        match attribute {
            Attribute::RequestMethod => text(record.method.as_str()),
            Attribute::RequestPath => text(uri.path_and_query()?.as_str()),
            Attribute::RequestUrlPath => text(uri.path()),
            Attribute::RequestQuery => text(uri.query().unwrap_or_default()),
            Attribute::RequestHost => text(record.authority.as_ref()?.to_str().ok()?),
            Attribute::RequestProtocol => owned(format!("{:?}", record.protocol)),
            Attribute::RequestDuration => Some(Value::Duration(record.duration)),
            Attribute::RequestSize => number(record.bytes_received),
            Attribute::ResponseSize => number(record.bytes_sent),
            Attribute::ResponseCode => number(record.status?.as_u16()),
            Attribute::RequestReferer | Attribute::RequestUserAgent | Attribute::RequestId => {
                let (_, name) = OWN_HEADERS.iter().find(|(own, _)| *own == attribute)?;
                let value = record.request_headers.get(*name)?;
                Some(Value::Text(String::from_utf8_lossy(value.as_bytes())))
            }
            Attribute::ResponseCodeDetails => text(&record.details),
            Attribute::ResponseGrpcStatus => number(record.grpc_status?),
            Attribute::ResponseBackendLatency => {
                Some(Value::Duration(record.upstream_service_time?))
            }
            Attribute::UpstreamAttempts => number(record.attempts),
            Attribute::XdsRouteName => text(record.route_name()?),
            Attribute::DownstreamPeerNamespace
            | Attribute::DownstreamPeerWorkload
            | Attribute::DownstreamPeerService
            | Attribute::DownstreamPeerRevision
            | Attribute::DownstreamPeerApp
            | Attribute::DownstreamPeerVersion
            | Attribute::DownstreamPeerCluster => text(peer(attribute, record.source.as_deref()?)?),
            _ => None,
        }
    }

    fn of_connection(self, attribute: Attribute) -> Option<Value<'a>> {
        let connection = self.connection();
        match attribute {
            Attribute::ResponseFlags => number(self.flags().envoy_bits()),
            Attribute::XdsListenerDirection => number(match connection.direction {
                Direction::Unspecified => 0,
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            }),
            Attribute::SourceAddress => address(connection.remote),
            Attribute::SourcePort => number(connection.remote.port()),
            Attribute::DestinationAddress => address(connection.local),
            Attribute::DestinationPort => number(connection.local.port()),
            Attribute::ConnectionMtls => Some(Value::Bool(connection.mutual_tls)),
            Attribute::ConnectionServerName => text(connection.server_name.as_deref()?),
            Attribute::ConnectionPeerUriSan => principal(connection.peer.as_deref()?),
            Attribute::ConnectionTermination => text(self.termination()?),
            _ => None,
        }
    }

    fn of_upstream(self, attribute: Attribute) -> Option<Value<'a>> {
        if attribute == Attribute::UpstreamTransportFailure {
            return text(self.transport_failure()?);
        }
        let upstream = self.upstream()?;
        match attribute {
            Attribute::XdsClusterName => text(&upstream.cluster),
            Attribute::UpstreamAddress => address(upstream.address?),
            Attribute::UpstreamPort => number(upstream.address?.port()),
            Attribute::UpstreamLocalAddress => address(upstream.local?),
            Attribute::UpstreamPeerUriSan => principal(upstream.peer.as_deref()?),
            Attribute::UpstreamPeerNamespace
            | Attribute::UpstreamPeerWorkload
            | Attribute::UpstreamPeerService
            | Attribute::UpstreamPeerRevision
            | Attribute::UpstreamPeerApp
            | Attribute::UpstreamPeerVersion
            | Attribute::UpstreamPeerCluster => {
                text(peer(attribute, upstream.workload.as_deref()?)?)
            }
            _ => None,
        }
    }
}

fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Text(Cow::Borrowed(text)))
}

fn owned(text: String) -> Option<Value<'static>> {
    Some(Value::Text(Cow::Owned(text)))
}

fn number(number: impl TryInto<i64>) -> Option<Value<'static>> {
    number.try_into().ok().map(Value::Int)
}

fn address(address: SocketAddr) -> Option<Value<'static>> {
    owned(address.to_string())
}

fn principal(principal: &Principal) -> Option<Value<'_>> {
    text(principal.0.as_ref()?.as_str())
}

/// What is said of one end by the attribute of either end.
fn peer(attribute: Attribute, labels: &PeerLabels) -> Option<&str> {
    let (_, part) = attribute.name().split_once('.')?;
    Some(match part {
        "namespace" => &labels.namespace,
        "workload" => &labels.workload,
        "service" => &labels.canonical_name,
        "revision" => &labels.canonical_revision,
        "app" => &labels.app,
        "version" => &labels.version,
        "cluster" => &labels.cluster,
        _ => return None,
    })
}

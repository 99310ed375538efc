//! Envoy's log format language, compiled: text with `%COMMAND(argument):length%` operators.

use std::{fmt::Write, net::SocketAddr};

use http::{HeaderName, Version};
use jiff::Timestamp;

use super::{RequestRecord, Told};

/// A line's format, ready to be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Format(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    part: Part,
    max_len: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    StartTime,
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    ConnectionTerminationDetails,
    UpstreamTransportFailureReason,
    BytesReceived,
    BytesSent,
    Duration,
    Method,
    Path,
    Authority,
    RequestHeader(HeaderName, Option<HeaderName>),
    UpstreamServiceTime,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    RequestedServerName,
    RouteName,
    DownstreamPeerUriSan,
    UpstreamRequestAttemptCount,
    GrpcStatus,
}

/// Why a format is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FormatError {
    /// A `%` without its partner.
    #[error("the operator that starts at byte {0} has no closing %")]
    Unclosed(usize),
    /// An operator this proxy does not know.
    #[error("the operator %{0}% is not supported")]
    Unknown(String),
    /// A choice of records this proxy does not know.
    #[error("the filter {0} is not supported")]
    Filter(String),
    /// A condition on what is not known any more when a log is written.
    #[error("the filter asks for {0}, which is not kept for logs")]
    Attribute(&'static str),
}

impl Format {
    /// Compiles a format.
    pub(crate) fn compile(text: &str) -> Result<Self, FormatError> {
        let mut segments = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('%') {
            push_text(&mut segments, &rest[..start]);
            let offset = text.len() - rest.len() + start;
            let body = &rest[start + 1..];
            let end = body.find('%').ok_or(FormatError::Unclosed(offset))?;
            match &body[..end] {
                "" => push_text(&mut segments, "%"),
                operator => segments.push(compile_operator(operator)?),
            }
            rest = &body[end + 1..];
        }
        push_text(&mut segments, rest);
        Ok(Self(segments))
    }

    /// The request headers it will ask a record for.
    pub(crate) fn request_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0
            .iter()
            .flat_map(|segment| match &segment.part {
                Part::RequestHeader(first, second) => [Some(first), second.as_ref()],
                _ => [None, None],
            })
            .flatten()
    }

    /// Writes a line; what is unknown is `-`.
    pub(crate) fn write(&self, told: Told<'_>, out: &mut String) {
        for segment in &self.0 {
            let start = out.len();
            if segment.part.write(told, out).is_none() {
                out.push('-');
            }
            if let Some(max_len) = segment.max_len {
                truncate(out, start + max_len);
            }
        }
    }
}

fn push_text(segments: &mut Vec<Segment>, text: &str) {
    if !text.is_empty() {
        segments.push(Segment {
            part: Part::Text(text.into()),
            max_len: None,
        });
    }
}

fn compile_operator(operator: &str) -> Result<Segment, FormatError> {
    let unknown = || FormatError::Unknown(operator.into());
    let (call, max_len) = match operator.rsplit_once(':') {
        Some((call, digits))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (call, Some(digits.parse().map_err(|_| unknown())?))
        }
        _ => (operator, None),
    };
    let (name, argument) = match call.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        None => (call, None),
    };
    let part = match (name, argument) {
        ("START_TIME", None) => Part::StartTime,
        ("PROTOCOL", None) => Part::Protocol,
        ("RESPONSE_CODE", None) => Part::ResponseCode,
        ("RESPONSE_FLAGS", None) => Part::ResponseFlags,
        ("RESPONSE_CODE_DETAILS", None) => Part::ResponseCodeDetails,
        ("CONNECTION_TERMINATION_DETAILS", None) => Part::ConnectionTerminationDetails,
        ("UPSTREAM_TRANSPORT_FAILURE_REASON", None) => Part::UpstreamTransportFailureReason,
        ("BYTES_RECEIVED", None) => Part::BytesReceived,
        ("BYTES_SENT", None) => Part::BytesSent,
        ("DURATION", None) => Part::Duration,
        ("UPSTREAM_HOST", None) => Part::UpstreamHost,
        ("UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW", None) => Part::UpstreamCluster,
        ("UPSTREAM_LOCAL_ADDRESS", None) => Part::UpstreamLocalAddress,
        ("DOWNSTREAM_LOCAL_ADDRESS", None) => Part::DownstreamLocalAddress,
        ("DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", None) => {
            Part::DownstreamRemoteAddress
        }
        ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", None) => {
            Part::DownstreamRemoteAddressWithoutPort
        }
        ("REQUESTED_SERVER_NAME", None) => Part::RequestedServerName,
        ("ROUTE_NAME", None) => Part::RouteName,
        ("DOWNSTREAM_PEER_URI_SAN", None) => Part::DownstreamPeerUriSan,
        ("UPSTREAM_REQUEST_ATTEMPT_COUNT", None) => Part::UpstreamRequestAttemptCount,
        ("GRPC_STATUS_NUMBER" | "GRPC_STATUS", None) => Part::GrpcStatus,
        ("REQ", Some(names)) => request_header(names).ok_or_else(unknown)?,
        ("RESP", Some(name)) if name.eq_ignore_ascii_case("x-envoy-upstream-service-time") => {
            Part::UpstreamServiceTime
        }
        _ => return Err(unknown()),
    };
    Ok(Segment { part, max_len })
}

fn request_header(names: &str) -> Option<Part> {
    let name = |text: &str| text.to_ascii_lowercase().parse::<HeaderName>().ok();
    Some(match names.to_ascii_lowercase().as_str() {
        ":method" => Part::Method,
        ":authority" | "host" => Part::Authority,
        ":path" | "x-envoy-original-path?:path" => Part::Path,
        other => match other.split_once('?') {
            Some((first, second)) => Part::RequestHeader(name(first)?, Some(name(second)?)),
            None => Part::RequestHeader(name(other)?, None),
        },
    })
}

impl Part {
    /// Writes the value; none if there is none.
    fn write(&self, told: Told<'_>, out: &mut String) -> Option<()> {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::StartTime => {
                let time = Timestamp::try_from(told.start()).ok()?;
                write!(out, "{time:.3}").ok()?;
            }
            Self::ResponseFlags => write!(out, "{}", told.flags()).ok()?,
            Self::ResponseCodeDetails => out.push_str(non_empty(told.details())?),
            Self::ConnectionTerminationDetails => out.push_str(told.termination()?),
            Self::UpstreamTransportFailureReason => {
                escape(told.transport_failure()?.as_bytes(), out);
            }
            Self::BytesReceived => write!(out, "{}", told.bytes().0).ok()?,
            Self::BytesSent => write!(out, "{}", told.bytes().1).ok()?,
            Self::Duration => write!(out, "{}", told.duration().as_millis()).ok()?,
            Self::UpstreamHost => address(told.upstream()?.address, out)?,
            Self::UpstreamCluster => out.push_str(&told.upstream()?.cluster),
            Self::UpstreamLocalAddress => address(told.upstream()?.local, out)?,
            Self::DownstreamLocalAddress => address(Some(told.connection().local), out)?,
            Self::DownstreamRemoteAddress => address(Some(told.connection().remote), out)?,
            Self::DownstreamRemoteAddressWithoutPort => {
                write!(out, "{}", told.connection().remote.ip()).ok()?;
            }
            Self::RequestedServerName => {
                escape(told.connection().server_name.as_ref()?.as_bytes(), out);
            }
            Self::DownstreamPeerUriSan => {
                out.push_str(told.connection().peer.as_ref()?.0.as_ref()?.as_str());
            }
            Self::ResponseCode => {
                let status = told.request().and_then(|record| record.status);
                write!(out, "{}", status.map_or(0, |status| status.as_u16())).ok()?;
            }
            of_request => of_request.write_of_request(told.request()?, out)?,
        }
        Some(())
    }

    /// Writes what only requests have.
    fn write_of_request(&self, record: &RequestRecord, out: &mut String) -> Option<()> {
        match self {
            Self::Protocol => out.push_str(protocol(record.protocol)),
            Self::Method => out.push_str(record.method.as_str()),
            Self::Path => escape(record.uri.path_and_query()?.as_str().as_bytes(), out),
            Self::Authority => escape(record.authority.as_ref()?.as_bytes(), out),
            Self::RequestHeader(first, second) => {
                let headers = &record.request_headers;
                let value = headers
                    .get(first)
                    .or_else(|| second.as_ref().and_then(|name| headers.get(name)))?;
                escape(value.as_bytes(), out);
            }
            Self::UpstreamServiceTime => {
                write!(out, "{}", record.upstream_service_time?.as_millis()).ok()?;
            }
            Self::RouteName => out.push_str(non_empty(record.route_name()?)?),
            Self::UpstreamRequestAttemptCount => write!(out, "{}", record.attempts).ok()?,
            Self::GrpcStatus => write!(out, "{}", record.grpc_status?).ok()?,
            _ => return None,
        }
        Some(())
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn address(address: Option<SocketAddr>, out: &mut String) -> Option<()> {
    write!(out, "{}", address?).ok()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// What a caller sent must not start a line of its own, nor end a quoted field.
fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(byte.into()),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

fn truncate(out: &mut String, mut len: usize) {
    if len < out.len() {
        while !out.is_char_boundary(len) {
            len -= 1;
        }
        out.truncate(len);
    }
}

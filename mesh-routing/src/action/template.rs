use std::{fmt::Display, net::SocketAddr, str::FromStr};

use http::{HeaderMap, HeaderName, Version};

use crate::{CompileError, Defect, RequestHead, request::header_text};

/// What header values may speak of. What is not known stays empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct EditFacts<'a> {
    /// The request; while its own headers are edited, those are read instead of the ones here.
    pub request: Option<RequestHead<'a>>,
    /// The protocol the request came by.
    pub protocol: Option<Version>,
    /// The other end.
    pub remote_address: Option<SocketAddr>,
    /// The address the caller meant.
    pub local_address: Option<SocketAddr>,
    /// The address the request went to.
    pub upstream_address: Option<SocketAddr>,
    /// The URI SAN of the caller's certificate.
    pub peer: Option<&'a str>,
    /// The SNI the caller asked for.
    pub server_name: Option<&'a str>,
    /// The route's name.
    pub route_name: Option<&'a str>,
    /// The cluster's name.
    pub cluster: Option<&'a str>,
    /// This proxy's host name.
    pub hostname: Option<&'a str>,
    /// The response's status, once there is one.
    pub response_code: Option<u16>,
}

/// A header's value with Envoy's `%COMMAND%` operators, ready to fill in.
#[derive(Debug)]
pub(super) struct Template(Box<[Segment]>);

#[derive(Debug)]
enum Segment {
    Text(Box<str>),
    Operator(Operator),
}

#[derive(Debug)]
enum Operator {
    /// A header, else another, and how many characters of it.
    Request(Field),
    Response(Field),
    Fact(Fact),
}

#[derive(Debug)]
struct Field {
    name: Subject,
    otherwise: Option<Subject>,
    max_len: Option<usize>,
}

#[derive(Debug)]
enum Subject {
    Method,
    Authority,
    Scheme,
    Path,
    Header(HeaderName),
}

#[derive(Debug, Clone, Copy)]
enum Fact {
    Protocol,
    RemoteAddress,
    RemoteIp,
    RemotePort,
    LocalAddress,
    LocalIp,
    LocalPort,
    UpstreamHost,
    UpstreamCluster,
    PeerUriSan,
    RequestedServerName,
    RouteName,
    Hostname,
    ResponseCode,
}

impl Template {
    /// Reads a value. `%%` is a percent sign.
    pub(super) fn compile(text: &str) -> Result<Self, CompileError> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            let (command, after) = after
                .split_once('%')
                .ok_or_else(|| Defect::Operator(format!("%{after}")))?;
            rest = after;
            if command.is_empty() {
                literal.push('%');
                continue;
            }
            segments.push(Segment::Text(std::mem::take(&mut literal).into()));
            segments.push(Segment::Operator(command.parse()?));
        }
        literal.push_str(rest);
        segments.push(Segment::Text(literal.into()));
        segments.retain(|segment| !matches!(segment, Segment::Text(text) if text.is_empty()));
        Ok(Self(segments.into()))
    }

    /// The text, if it never changes.
    pub(super) fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a request, and for its response if `response` is given.
    pub(super) fn fill(
        &self,
        request: Option<&HeaderMap>,
        response: Option<&HeaderMap>,
        facts: &EditFacts<'_>,
    ) -> String {
        let mut text = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Text(part) => text.push_str(part),
                Segment::Operator(Operator::Request(field)) => {
                    field.push(&mut text, request, facts.request.as_ref());
                }
                Segment::Operator(Operator::Response(field)) => {
                    field.push(&mut text, response, None);
                }
                Segment::Operator(Operator::Fact(fact)) => fact.push(&mut text, facts),
            }
        }
        text
    }
}

impl FromStr for Operator {
    type Err = Defect;

    fn from_str(text: &str) -> Result<Self, Defect> {
        let unknown = || Defect::Operator(format!("%{text}%"));
        if let Some(rest) = text.strip_prefix("REQ(") {
            return Ok(Self::Request(Field::parse(rest).ok_or_else(unknown)?));
        }
        if let Some(rest) = text.strip_prefix("RESP(") {
            return Ok(Self::Response(Field::parse(rest).ok_or_else(unknown)?));
        }
        Ok(Self::Fact(match text {
            "PROTOCOL" => Fact::Protocol,
            "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Fact::RemoteAddress,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"
            | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Fact::RemoteIp,
            "DOWNSTREAM_REMOTE_PORT" | "DOWNSTREAM_DIRECT_REMOTE_PORT" => Fact::RemotePort,
            "DOWNSTREAM_LOCAL_ADDRESS" => Fact::LocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Fact::LocalIp,
            "DOWNSTREAM_LOCAL_PORT" => Fact::LocalPort,
            "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Fact::UpstreamHost,
            "UPSTREAM_CLUSTER" => Fact::UpstreamCluster,
            "DOWNSTREAM_PEER_URI_SAN" => Fact::PeerUriSan,
            "REQUESTED_SERVER_NAME" => Fact::RequestedServerName,
            "ROUTE_NAME" => Fact::RouteName,
            "HOSTNAME" => Fact::Hostname,
            "RESPONSE_CODE" => Fact::ResponseCode,
            _ => return Err(unknown()),
        }))
    }
}

impl Field {
    /// Reads `name)`, `name?other)` or `name):12`.
    fn parse(text: &str) -> Option<Self> {
        let (names, max_len) = match text.split_once(')')? {
            (names, "") => (names, None),
            (names, len) => (names, Some(len.strip_prefix(':')?.parse().ok()?)),
        };
        let (name, otherwise) = match names.split_once('?') {
            Some((name, other)) => (name, Some(Subject::parse(other)?)),
            None => (names, None),
        };
        Some(Self {
            name: Subject::parse(name)?,
            otherwise,
            max_len,
        })
    }

    fn push(&self, text: &mut String, headers: Option<&HeaderMap>, head: Option<&RequestHead<'_>>) {
        let start = text.len();
        let _ = self.name.push(text, headers, head).is_some()
            || self
                .otherwise
                .as_ref()
                .and_then(|other| other.push(text, headers, head))
                .is_some();
        if let Some(max_len) = self.max_len {
            let end = text.floor_char_boundary(start.saturating_add(max_len).min(text.len()));
            text.truncate(end);
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            ":method" => Self::Method,
            ":authority" => Self::Authority,
            ":scheme" => Self::Scheme,
            ":path" => Self::Path,
            name => Self::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
        })
    }

    fn push(
        &self,
        text: &mut String,
        headers: Option<&HeaderMap>,
        head: Option<&RequestHead<'_>>,
    ) -> Option<()> {
        match self {
            Self::Method => text.push_str(head?.method.as_str()),
            Self::Authority => text.push_str(head?.authority),
            Self::Scheme => text.push_str(head?.scheme),
            Self::Path => text.push_str(&head?.path_and_query()),
            Self::Header(name) => text.push_str(&header_text(headers?, name)?),
        }
        Some(())
    }
}

impl Fact {
    fn push(self, text: &mut String, facts: &EditFacts<'_>) {
        let remote = facts.remote_address;
        let local = facts.local_address;
        match self {
            Self::Protocol => put(text, facts.protocol.map(|version| format!("{version:?}"))),
            Self::RemoteAddress => put(text, remote),
            Self::RemoteIp => put(text, remote.map(|address| address.ip())),
            Self::RemotePort => put(text, remote.map(|address| address.port())),
            Self::LocalAddress => put(text, local),
            Self::LocalIp => put(text, local.map(|address| address.ip())),
            Self::LocalPort => put(text, local.map(|address| address.port())),
            Self::UpstreamHost => put(text, facts.upstream_address),
            Self::UpstreamCluster => put(text, facts.cluster),
            Self::PeerUriSan => put(text, facts.peer),
            Self::RequestedServerName => put(text, facts.server_name),
            Self::RouteName => put(text, facts.route_name),
            Self::Hostname => put(text, facts.hostname),
            Self::ResponseCode => put(text, facts.response_code),
        }
    }
}

fn put(text: &mut String, value: Option<impl Display>) {
    if let Some(value) = value {
        text.push_str(&value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::name::HEADER_OPERATORS;

    use super::*;

    #[test]
    fn what_may_be_planned_is_known() {
        for operator in HEADER_OPERATORS {
            assert!(
                Template::compile(&format!("%{operator}%")).is_ok(),
                "{operator}"
            );
        }
    }
}

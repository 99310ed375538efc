//! Which requests a limit is for, and which count each uses.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use mesh_core::{
    dataplane::{LimitKey, LimitMatch},
    identity::SpiffeId,
    name::Pattern,
};

use crate::{
    CompileError, Defect, RequestHead,
    access::Claims,
    predicate::TextTest,
    request::{header_text, split_port},
};

/// What limits see of a request.
#[derive(Debug, Clone, Copy)]
pub struct LimitRequest<'a> {
    /// The request.
    pub head: &'a RequestHead<'a>,
    /// Who the caller proved to be.
    pub peer: Option<&'a SpiffeId>,
    /// The caller's address by trusted hops.
    pub remote: IpAddr,
    /// What the verified tokens say; none without one.
    pub claims: Option<&'a Claims>,
}

/// Conditions on requests, ready to run.
#[derive(Debug)]
pub(super) struct Found {
    methods: Box<[String]>,
    hosts: Box<[TextTest]>,
    paths: Box<[TextTest]>,
    headers: Box<[(HeaderName, Option<TextTest>)]>,
    identities: Box<[TextTest]>,
}

/// What has a count of its own, ready to look up.
#[derive(Debug)]
pub(super) enum Key {
    Identity,
    RemoteAddress,
    Path,
    Method,
    Header(HeaderName),
    Claim(Box<[String]>),
}

/// The longest value of a key that is told from others, in bytes.
const MAX_VALUE_BYTES: usize = 256;

impl Found {
    pub(super) fn compile(planned: &LimitMatch) -> Result<Self, CompileError> {
        let headers = planned.headers.iter().map(|(name, value)| {
            let value = value.as_ref().map(|value| text(value, "headers"));
            Ok((header(name)?, value.transpose()?))
        });
        Ok(Self {
            methods: planned.methods.clone().into(),
            hosts: texts(&planned.hosts, "hosts", true)?,
            paths: texts(&planned.paths, "paths", false)?,
            identities: texts(&planned.identities, "identities", false)?,
            headers: headers.collect::<Result<_, CompileError>>()?,
        })
    }

    pub(super) fn matches(&self, request: &LimitRequest<'_>) -> bool {
        let head = request.head;
        let any = |tests: &[TextTest], text: &str| {
            tests.is_empty() || tests.iter().any(|test| test.matches(text))
        };
        let identity = request.peer.map(|peer| peer.as_str());
        let identity = identity.and_then(|text| text.strip_prefix("spiffe://"));
        let (host, _) = split_port(head.authority);
        (self.methods.is_empty() || self.methods.iter().any(|m| m == head.method.as_str()))
            && any(&self.hosts, host)
            && any(&self.paths, head.path)
            && (self.identities.is_empty()
                || identity.is_some_and(|identity| any(&self.identities, identity)))
            && self
                .headers
                .iter()
                .all(|(name, test)| has(head.headers, name, test.as_ref()))
    }
}

fn has(headers: &HeaderMap, name: &HeaderName, test: Option<&TextTest>) -> bool {
    let text = header_text(headers, name);
    text.is_some_and(|text| test.is_none_or(|test| test.matches(&text)))
}

impl Key {
    pub(super) fn compile(planned: &LimitKey) -> Result<Self, CompileError> {
        Ok(match planned {
            LimitKey::Identity => Self::Identity,
            LimitKey::RemoteAddress => Self::RemoteAddress,
            LimitKey::Path => Self::Path,
            LimitKey::Method => Self::Method,
            LimitKey::Header(name) => Self::Header(header(name)?),
            LimitKey::Claim(path) => Self::Claim(path.clone().into()),
        })
    }

    /// Writes the value of a request, apart from any other value, into the name of its count.
    /// What a request does not have is a value too.
    pub(super) fn write(&self, request: &LimitRequest<'_>, name: &mut String) {
        let head = request.head;
        let identity = || request.peer.map(|peer| peer.as_str().to_owned());
        let value = match self {
            Self::Identity => identity(),
            Self::RemoteAddress => Some(request.remote.to_string()),
            Self::Path => Some(head.path.to_owned()),
            Self::Method => Some(head.method.as_str().to_owned()),
            Self::Header(name) => header_text(head.headers, name).map(String::from),
            Self::Claim(path) => request.claims.and_then(|claims| claim(claims, path)),
        };
        match value {
            None => name.push('-'),
            Some(mut value) => {
                if value.len() > MAX_VALUE_BYTES {
                    let mut end = MAX_VALUE_BYTES;
                    while !value.is_char_boundary(end) {
                        end -= 1;
                    }
                    value.truncate(end);
                }
                // With its length before it no value can be mistaken for two.
                name.push_str(&value.len().to_string());
                name.push('=');
                name.push_str(&value);
            }
        }
    }
}

/// The text of a claim: what is no text, as JSON.
fn claim(claims: &Claims, path: &[String]) -> Option<String> {
    let value = claims.value(path)?;
    Some(match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    })
}

fn header(name: &str) -> Result<HeaderName, CompileError> {
    HeaderName::try_from(name).map_err(|_| Defect::HeaderName(name.to_owned()).into())
}

fn text(pattern: &Pattern, field: &str) -> Result<TextTest, CompileError> {
    TextTest::compile(pattern, false).map_err(|error| error.within(field))
}

fn texts(
    patterns: &[Pattern],
    field: &str,
    any_case: bool,
) -> Result<Box<[TextTest]>, CompileError> {
    let tests = patterns.iter();
    tests
        .map(|pattern| TextTest::compile(pattern, any_case).map_err(|error| error.within(field)))
        .collect()
}

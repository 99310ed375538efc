use std::net::SocketAddr;

use mesh_core::{
    dataplane::{self, IpNetwork},
    name,
};

use super::{AccessRequest, readings, token::Claims};
use crate::{
    CompileError, RequestHead,
    compile_error::compile_all,
    predicate::{HeaderPredicate, Judge, TextTest},
};

/// What a policy is asked, and how deep in negations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) request: &'a AccessRequest<'a>,
    /// What else the path may be taken for.
    readings: &'a [String],
    judge: Judge,
    negated: bool,
}

/// A condition on what is done, ready to run.
#[derive(Debug)]
pub(super) enum Permission {
    Any,
    All(Box<[Self]>),
    OneOf(Box<[Self]>),
    Not(Box<Self>),
    Path(PathTest),
    Header(HeaderPredicate),
    DestinationNetwork(IpNetwork),
    DestinationPort(u16),
    ServerName(TextTest),
}

/// A condition on who does it, ready to run.
#[derive(Debug)]
pub(super) enum Principal {
    Any,
    All(Box<[Self]>),
    OneOf(Box<[Self]>),
    Not(Box<Self>),
    Authenticated(Option<TextTest>),
    DirectRemoteNetwork(IpNetwork),
    RemoteNetwork(IpNetwork),
    Header(HeaderPredicate),
    Claim(ClaimTest),
}

/// A condition on a path, ready to run.
#[derive(Debug)]
pub(super) struct PathTest {
    test: TextTest,
    /// The same as other readings of a path have it.
    read: Box<[TextTest]>,
}

/// A condition on a claim, ready to run.
#[derive(Debug)]
pub(crate) struct ClaimTest {
    path: Box<[String]>,
    values: Box<[TextTest]>,
}

impl<'a> Question<'a> {
    pub(super) fn new(
        request: &'a AccessRequest<'a>,
        readings: &'a [String],
        judge: Judge,
    ) -> Self {
        Self {
            request,
            readings,
            judge,
            negated: false,
        }
    }

    pub(super) fn not(self) -> Self {
        Self {
            judge: self.judge.opposite(),
            negated: !self.negated,
            ..self
        }
    }

    /// Asks about the request. Without one the answer is whatever keeps the policy from matching.
    fn of_request(self, ask: impl FnOnce(&RequestHead<'_>) -> bool) -> bool {
        self.request.head.map_or(self.negated, ask)
    }
}

impl Permission {
    pub(super) fn compile(planned: &dataplane::Permission) -> Result<Self, CompileError> {
        use dataplane::Permission as Planned;
        Ok(match planned {
            Planned::Any => Self::Any,
            Planned::All(parts) => Self::All(compile_all("all", parts, Self::compile)?),
            Planned::OneOf(parts) => Self::OneOf(compile_all("one_of", parts, Self::compile)?),
            Planned::Not(part) => Self::Not(Box::new(Self::compile(part)?)),
            Planned::Path(pattern) => Self::Path(PathTest::compile(pattern)?),
            Planned::Header(header) => Self::Header(HeaderPredicate::compile(header)?),
            Planned::DestinationNetwork(network) => Self::DestinationNetwork(*network),
            Planned::DestinationPort(port) => Self::DestinationPort(*port),
            Planned::ServerName(pattern) => Self::ServerName(text(pattern, "server_name")?),
        })
    }

    pub(super) fn matches(&self, question: Question<'_>) -> bool {
        let connection = question.request.connection;
        match self {
            Self::Any => true,
            Self::All(parts) => parts.iter().all(|part| part.matches(question)),
            Self::OneOf(parts) => parts.iter().any(|part| part.matches(question)),
            Self::Not(part) => !part.matches(question.not()),
            Self::Path(test) => question.of_request(|head| test.matches(head.path, question)),
            Self::Header(test) => question.of_request(|head| test.matches(head, question.judge)),
            Self::DestinationNetwork(network) => holds(network, connection.destination),
            Self::DestinationPort(port) => connection.destination.port() == *port,
            Self::ServerName(test) => test.matches(connection.server_name.unwrap_or_default()),
        }
    }
}

impl Principal {
    pub(super) fn compile(planned: &dataplane::Principal) -> Result<Self, CompileError> {
        use dataplane::Principal as Planned;
        Ok(match planned {
            Planned::Any => Self::Any,
            Planned::All(parts) => Self::All(compile_all("all", parts, Self::compile)?),
            Planned::OneOf(parts) => Self::OneOf(compile_all("one_of", parts, Self::compile)?),
            Planned::Not(part) => Self::Not(Box::new(Self::compile(part)?)),
            Planned::Authenticated(None) => Self::Authenticated(None),
            Planned::Authenticated(Some(pattern)) => {
                Self::Authenticated(Some(text(pattern, "authenticated")?))
            }
            Planned::DirectRemoteNetwork(network) => Self::DirectRemoteNetwork(*network),
            Planned::RemoteNetwork(network) => Self::RemoteNetwork(*network),
            Planned::Header(header) => Self::Header(HeaderPredicate::compile(header)?),
            Planned::Claim(claim) => Self::Claim(ClaimTest::compile(claim)?),
        })
    }

    pub(super) fn matches(&self, question: Question<'_>) -> bool {
        let request = question.request;
        match self {
            Self::Any => true,
            Self::All(parts) => parts.iter().all(|part| part.matches(question)),
            Self::OneOf(parts) => parts.iter().any(|part| part.matches(question)),
            Self::Not(part) => !part.matches(question.not()),
            Self::Authenticated(test) => request
                .connection
                .peer
                .is_some_and(|peer| test.as_ref().is_none_or(|test| test.matches(peer.as_str()))),
            Self::DirectRemoteNetwork(network) => holds(network, request.connection.source),
            Self::RemoteNetwork(network) => network.contains(request.remote),
            Self::Header(test) => question.of_request(|head| test.matches(head, question.judge)),
            Self::Claim(test) => {
                question.of_request(|_| request.claims.is_some_and(|claims| test.matches(claims)))
            }
        }
    }
}

impl PathTest {
    fn compile(pattern: &name::Pattern) -> Result<Self, CompileError> {
        use name::Pattern;
        let others = |text: &str, wrap: fn(String) -> Pattern| {
            let patterns: Vec<_> = readings::of(text).into_iter().map(wrap).collect();
            compile_all("path", &patterns, |pattern| self::text(pattern, ""))
        };
        Ok(Self {
            test: text(pattern, "path")?,
            read: match pattern {
                Pattern::Exact(path) => others(path, Pattern::Exact)?,
                Pattern::Prefix(path) => others(path, Pattern::Prefix)?,
                Pattern::Suffix(_) | Pattern::Contains(_) | Pattern::Regex(_) => [].into(),
            },
        })
    }

    /// What denies holds if it does for any reading, what allows only if for every one.
    fn matches(&self, path: &str, question: Question<'_>) -> bool {
        let as_written = self.test.matches(path);
        let mut others = question.readings.iter();
        let as_read = |path: &String| {
            self.test.matches(path) || self.read.iter().any(|test| test.matches(path))
        };
        match question.judge {
            Judge::Every => as_written && others.all(as_read),
            Judge::Any | Judge::Joined => as_written || others.any(as_read),
        }
    }
}

impl ClaimTest {
    pub(crate) fn compile(planned: &dataplane::ClaimMatch) -> Result<Self, CompileError> {
        let values = compile_all("values", &planned.values, |value| {
            TextTest::compile(value, false)
        });
        Ok(Self {
            path: planned.path.as_slice().into(),
            values: values.map_err(|error| error.within("claim"))?,
        })
    }

    pub(crate) fn matches(&self, claims: &Claims) -> bool {
        claims.any(&self.path, |text| {
            self.values.iter().any(|value| value.matches(text))
        })
    }
}

fn text(pattern: &name::Pattern, field: &str) -> Result<TextTest, CompileError> {
    TextTest::compile(pattern, false).map_err(|error| error.within(field))
}

fn holds(network: &IpNetwork, address: SocketAddr) -> bool {
    network.contains(address.ip())
}

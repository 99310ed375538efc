use http::Method;
use mesh_core::dataplane::{Fraction, PathMatch, QueryMatch, RouteClaim, RouteMatch};
use mesh_core::name::Pattern;
use regex::Regex;

use crate::{
    CompileError, RequestHead,
    access::{ClaimTest, Claims},
    compile_error::compile_all,
    dice::Purpose,
    predicate::{HeaderPredicate, Judge, ValueTest},
};

/// A [`RouteMatch`] ready to run, in the order in which failing is cheapest to find out.
#[derive(Debug)]
pub(super) struct Predicates {
    path: PathTest,
    ignore_case: bool,
    grpc: bool,
    headers: Box<[HeaderPredicate]>,
    query: Box<[(Box<str>, ValueTest)]>,
    claims: Box<[RouteClaimTest]>,
    fraction: Option<Fraction>,
}

#[derive(Debug)]
struct RouteClaimTest {
    test: ClaimTest,
    invert: bool,
}

#[derive(Debug)]
pub(super) enum PathTest {
    Exact(Box<str>),
    Prefix(Box<str>),
    SeparatedPrefix(Box<str>),
    Regex(Regex),
    Connect,
}

impl Predicates {
    pub(super) fn compile(matches: &RouteMatch) -> Result<Self, CompileError> {
        Ok(Self {
            path: PathTest::compile(&matches.path).map_err(|error| error.within("path"))?,
            ignore_case: matches.ignore_case,
            grpc: matches.grpc,
            headers: compile_all("headers", &matches.headers, HeaderPredicate::compile)?,
            query: compile_all("query", &matches.query, compile_query)?,
            claims: compile_all("claims", &matches.claims, RouteClaimTest::compile)?,
            fraction: matches.fraction,
        })
    }

    pub(super) fn match_all(&self, head: &RequestHead<'_>, seed: u64, id: u32) -> bool {
        self.path.matches(head, self.ignore_case)
            && (!self.grpc || head.is_grpc())
            && self
                .headers
                .iter()
                .all(|header| header.matches(head, Judge::Joined))
            && self.query.iter().all(|(name, value)| {
                head.query_parameter(name)
                    .is_some_and(|text| value.matches(text))
            })
            && self.claims.iter().all(|claim| claim.matches(head))
            && self
                .fraction
                .is_none_or(|share| share.includes(Purpose::RouteShare(id).draw(seed)))
    }

    pub(super) fn path(&self) -> &PathTest {
        &self.path
    }
}

impl PathTest {
    fn compile(path: &PathMatch) -> Result<Self, CompileError> {
        Ok(match path {
            PathMatch::Exact(text) => Self::Exact(text.as_str().into()),
            PathMatch::Prefix(text) => Self::Prefix(text.as_str().into()),
            PathMatch::PathSeparatedPrefix(text) => Self::SeparatedPrefix(text.as_str().into()),
            PathMatch::Regex(text) => Self::Regex(Pattern::compile_regex(text, false)?),
            PathMatch::Connect => Self::Connect,
        })
    }

    /// A request without a path, a plain CONNECT, meets no condition on paths.
    fn matches(&self, head: &RequestHead<'_>, ignore_case: bool) -> bool {
        let path = head.path.as_bytes();
        let starts_with = |prefix: &str| {
            path.get(..prefix.len()).is_some_and(|start| {
                if ignore_case {
                    start.eq_ignore_ascii_case(prefix.as_bytes())
                } else {
                    start == prefix.as_bytes()
                }
            })
        };
        match self {
            Self::Connect => head.method == Method::CONNECT,
            _ if path.is_empty() => false,
            Self::Exact(want) => path.len() == want.len() && starts_with(want),
            Self::Prefix(want) => starts_with(want),
            Self::SeparatedPrefix(want) => {
                starts_with(want)
                    && (want.ends_with('/') || matches!(path.get(want.len()), None | Some(b'/')))
            }
            Self::Regex(regex) => regex.is_match(head.path),
        }
    }

    /// How many bytes of a path that matches are what the condition speaks of.
    pub(super) fn matched_len(&self, path: &str) -> usize {
        match self {
            Self::Prefix(text) | Self::SeparatedPrefix(text) => text.len().min(path.len()),
            Self::Exact(_) | Self::Regex(_) | Self::Connect => path.len(),
        }
    }

    pub(super) fn is_separated(&self) -> bool {
        matches!(self, Self::SeparatedPrefix(_))
    }
}

impl RouteClaimTest {
    fn compile(planned: &RouteClaim) -> Result<Self, CompileError> {
        Ok(Self {
            test: ClaimTest::compile(&planned.claim)?,
            invert: planned.invert,
        })
    }

    /// What nobody vouches for is no claim.
    fn matches(&self, head: &RequestHead<'_>) -> bool {
        let meets = |claims: &Claims| self.test.matches(claims);
        head.claims.is_some_and(meets) != self.invert
    }
}

fn compile_query(query: &QueryMatch) -> Result<(Box<str>, ValueTest), CompileError> {
    let value = ValueTest::compile(&query.value).map_err(|error| error.within("value"))?;
    Ok((query.name.as_str().into(), value))
}

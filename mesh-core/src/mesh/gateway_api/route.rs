//! A route before it meets what it is attached to.

use std::cmp::Reverse;

use crate::{
    config::{
        Source,
        gateway_api::{BackendObjectRef, ParentRef},
    },
    mesh::{HeaderEdits, HttpMatch, HttpRule, PerMillion},
    name::{Host, ResourceRef},
};

/// What a route of any kind means by itself.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mesh) struct Route {
    pub(super) reference: ResourceRef,
    pub(super) source: Source,
    pub(super) kind: RouteKind,
    pub(super) parents: Vec<ParentRef>,
    /// None at all stands for every host.
    pub(super) hostnames: Vec<Host>,
    pub(super) rules: Vec<Rule>,
}

/// What a route routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteKind {
    Http,
    Grpc,
    Tls,
    Tcp,
}

/// A rule of a route. For connections only `backends` counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Its place, as in `spec.rules[0]`.
    pub(super) field: String,
    /// The rule without conditions and destinations.
    pub(super) base: HttpRule,
    pub(super) conditions: Vec<RuleMatch>,
    pub(super) backends: Vec<Backend>,
    pub(super) mirrors: Vec<MirrorTo>,
    /// Why its requests are answered with a 500: it asks for what is not honoured.
    pub(super) refused: Option<String>,
}

/// A condition, and which others it comes before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RuleMatch {
    pub(super) condition: HttpMatch,
    pub(super) precedence: Precedence,
}

/// Where requests go, not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Backend {
    pub(super) field: String,
    pub(super) to: BackendObjectRef,
    pub(super) weight: u32,
    pub(super) headers: HeaderEdits,
}

/// Where copies go, not looked up yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MirrorTo {
    pub(super) field: String,
    pub(super) to: BackendObjectRef,
    pub(super) share: PerMillion,
}

/// Among the rules of one host: an exact path first, then a regular expression, then the longest
/// prefix; then a method, the most headers, the most query parameters. The Gateway API leaves
/// open where expressions stand; after prefixes, none would ever be reached beside a rule for all
/// paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence(
    Reverse<PathRank>,
    Reverse<usize>,
    Reverse<bool>,
    Reverse<usize>,
    Reverse<usize>,
);

/// How exact a condition on the path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathRank {
    Prefix,
    Expression,
    Exact,
}

impl Precedence {
    pub(super) fn new(rank: PathRank, len: usize, has_method: bool, of: &HttpMatch) -> Self {
        Self(
            Reverse(rank),
            Reverse(len),
            Reverse(has_method),
            Reverse(of.headers.len()),
            Reverse(of.query.len()),
        )
    }
}

impl RouteKind {
    pub(super) fn of(route: &ResourceRef) -> Self {
        match &*route.kind {
            "GRPCRoute" => Self::Grpc,
            "TLSRoute" => Self::Tls,
            "TCPRoute" => Self::Tcp,
            _ => Self::Http,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tls => "TLSRoute",
            Self::Tcp => "TCPRoute",
        }
    }

    pub(super) fn is_requests(self) -> bool {
        matches!(self, Self::Http | Self::Grpc)
    }
}

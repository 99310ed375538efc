//! What routing means, in the plainest way: every host and every rule is tried in turn, straight
//! from the planned form. Slow on purpose; [`Router`](super::Router) must agree with it always.

use std::cmp::Reverse;

use http::Method;
use mesh_core::{
    dataplane::{
        ClaimMatch, HeaderMatch, PathMatch, RouteClaim, RouteMatch, RouteTable, ValueMatch,
    },
    name::Pattern,
};

use super::{NoRoute, RouteId, hosts::Domain};
use crate::{RequestHead, dice::Purpose, request::split_port};

/// The rule that decides about a request. Expressions that do not compile match nothing.
pub fn route(table: &RouteTable, head: &RequestHead<'_>, seed: u64) -> Result<RouteId, NoRoute> {
    let index = virtual_host(table, head.authority).ok_or(NoRoute::Host)?;
    let before: usize = table.virtual_hosts[..index]
        .iter()
        .map(|host| host.routes.len())
        .sum();
    table.virtual_hosts[index]
        .routes
        .iter()
        .zip(before as u32..)
        .find(|(route, id)| first_failure(&route.matches, head, seed, *id).is_none())
        .map(|(_, id)| RouteId(id))
        .ok_or(NoRoute::Rule)
}

/// The virtual host for an authority: of all domains that match, the most specific one's.
pub fn virtual_host(table: &RouteTable, authority: &str) -> Option<usize> {
    virtual_host_by(table, authority).map(|(index, _)| index)
}

/// The same, with the domain that matched.
pub fn virtual_host_by<'t>(table: &'t RouteTable, authority: &str) -> Option<(usize, &'t str)> {
    let host = if table.ignore_port_in_host_matching {
        split_port(authority).0
    } else {
        authority
    };
    let host = host.to_ascii_lowercase();
    table
        .virtual_hosts
        .iter()
        .enumerate()
        .flat_map(|(index, virtual_host)| {
            virtual_host.domains.iter().map(move |text| (index, text))
        })
        .filter_map(|(index, text)| {
            let rank = domain_rank(&text.to_ascii_lowercase(), &host)?;
            Some((rank, index, text.as_str()))
        })
        .min_by_key(|(rank, index, _)| (*rank, *index))
        .map(|(_, index, text)| (index, text))
}

/// The first condition of a rule that a request does not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unmet {
    /// The path.
    #[error("the path is not {0}")]
    Path(String),
    /// It is no gRPC request.
    #[error("it is no gRPC request")]
    Grpc,
    /// A header, by name.
    #[error("the header {0:?} is not as asked")]
    Header(String),
    /// A query parameter, by name.
    #[error("the query parameter {0:?} is not as asked")]
    Query(String),
    /// A claim of the verified token, by the names that lead to it.
    #[error("the claim {0} is not as asked")]
    Claim(String),
    /// The dice fell the other way.
    #[error("it is not in the rule's share of requests")]
    Share,
}

/// The first condition that a request does not meet, if any.
pub(super) fn first_failure(
    rule: &RouteMatch,
    head: &RequestHead<'_>,
    seed: u64,
    id: u32,
) -> Option<Unmet> {
    if !path(rule, head) {
        return Some(Unmet::Path(path_text(&rule.path)));
    }
    if rule.grpc && !head.is_grpc() {
        return Some(Unmet::Grpc);
    }
    if let Some(unmet) = rule
        .headers
        .iter()
        .find(|condition| !header(condition, head))
    {
        return Some(Unmet::Header(unmet.name.clone()));
    }
    let query = |name: &str| head.query_parameter(name);
    if let Some(unmet) = rule
        .query
        .iter()
        .find(|condition| !query(&condition.name).is_some_and(|text| value(&condition.value, text)))
    {
        return Some(Unmet::Query(unmet.name.clone()));
    }
    if let Some(unmet) = rule.claims.iter().find(|condition| !claim(condition, head)) {
        return Some(Unmet::Claim(format!("{:?}", unmet.claim.path)));
    }
    match rule.fraction {
        Some(share) if !share.includes(Purpose::RouteShare(id).draw(seed)) => Some(Unmet::Share),
        _ => None,
    }
}

fn domain_rank(domain: &str, host: &str) -> Option<(u8, Reverse<usize>)> {
    let longer = |affix: &str| host.len() > affix.len();
    match Domain::parse(domain).ok()? {
        Domain::Exact(name) => (name == host).then_some((0, Reverse(0))),
        Domain::Suffix(suffix) => {
            (host.ends_with(suffix) && longer(suffix)).then_some((1, Reverse(suffix.len())))
        }
        Domain::Prefix(prefix) => {
            (host.starts_with(prefix) && longer(prefix)).then_some((2, Reverse(prefix.len())))
        }
        Domain::Any => Some((3, Reverse(0))),
    }
}

fn path(rule: &RouteMatch, head: &RequestHead<'_>) -> bool {
    let fold = |text: &str| {
        if rule.ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let seen = fold(head.path);
    match &rule.path {
        PathMatch::Connect => head.method == Method::CONNECT,
        _ if seen.is_empty() => false,
        PathMatch::Exact(want) => seen == fold(want),
        PathMatch::Prefix(want) => seen.starts_with(&fold(want)),
        PathMatch::PathSeparatedPrefix(want) => seen
            .strip_prefix(&fold(want))
            .is_some_and(|rest| want.ends_with('/') || rest.is_empty() || rest.starts_with('/')),
        PathMatch::Regex(want) => matches(&Pattern::Regex(want.clone()), head.path, false),
    }
}

fn header(condition: &HeaderMatch, head: &RequestHead<'_>) -> bool {
    let text = match condition.name.as_str() {
        ":method" => Some(head.method.to_string()),
        ":authority" | "host" => Some(head.authority.to_owned()),
        ":scheme" => Some(head.scheme.to_owned()),
        ":path" => Some(head.path_and_query().into_owned()),
        name => {
            let values: Vec<_> = head
                .headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            (!values.is_empty()).then(|| values.join(","))
        }
    };
    match (&condition.value, text) {
        (ValueMatch::Present, text) => text.is_some() != condition.invert,
        (_, None) if !condition.missing_is_empty => false,
        (test, text) => value(test, &text.unwrap_or_default()) != condition.invert,
    }
}

fn claim(condition: &RouteClaim, head: &RequestHead<'_>) -> bool {
    let ClaimMatch { path, values } = &condition.claim;
    let meets = |text: &str| values.iter().any(|value| matches(value, text, false));
    head.claims.is_some_and(|claims| claims.any(path, meets)) != condition.invert
}

fn value(condition: &ValueMatch, text: &str) -> bool {
    match condition {
        ValueMatch::Present => true,
        ValueMatch::Text {
            pattern,
            ignore_case,
        } => matches(pattern, text, *ignore_case),
        ValueMatch::Range { start, end } => text
            .parse::<i64>()
            .is_ok_and(|number| *start <= number && number < *end),
    }
}

fn matches(pattern: &Pattern, text: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| {
        if ignore_case {
            text.to_ascii_lowercase()
        } else {
            text.to_owned()
        }
    };
    let seen = fold(text);
    match pattern {
        Pattern::Exact(want) => seen == fold(want),
        Pattern::Prefix(want) => seen.starts_with(&fold(want)),
        Pattern::Suffix(want) => seen.ends_with(&fold(want)),
        Pattern::Contains(want) => seen.contains(&fold(want)),
        Pattern::Regex(want) => {
            Pattern::compile_regex(want, ignore_case).is_ok_and(|regex| regex.is_match(text))
        }
    }
}

fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(text) => format!("{text:?}"),
        PathMatch::Prefix(text) => format!("one that begins with {text:?}"),
        PathMatch::PathSeparatedPrefix(text) => format!("{text:?} or one below it"),
        PathMatch::Regex(text) => format!("one that matches {text:?}"),
        PathMatch::Connect => "that of a CONNECT".into(),
    }
}

//! Rules and matches that nothing reaches, as earlier ones take all of it.
//!
//! One match is held against one other: that several earlier ones together take everything is not
//! seen. What is reported is therefore certain, and not everything is.

use super::Analysis;
use crate::{
    config::Code,
    mesh::{
        ClientMatch, HeaderCondition, HttpMatch, L4Match, PathCondition, TextCondition, TlsMatch,
        TrafficRules,
    },
    name::{IpNetwork, Pattern, ResourceRef},
};

/// The most matches of one VirtualService that are held against each other.
const MAX_COMPARED: usize = 1_000;

/// A rule, and where it is written: one that was delegated is in a resource of its own.
struct Rule<'a, M> {
    of: &'a ResourceRef,
    field: &'a str,
    matches: &'a [M],
}

impl Analysis<'_> {
    pub(super) fn unreachable(&mut self) {
        for traffic in self
            .rules
            .traffic
            .iter()
            .filter(|rules| !rules.is_gateway_api())
        {
            let TrafficRules { http, tls, tcp, .. } = &**traffic;
            let of = &traffic.reference;
            let every = [HttpMatch::default()];
            let rules = http.iter().map(|rule| Rule {
                of: rule.origin.as_ref().unwrap_or(of),
                field: &rule.field,
                matches: &rule.matches,
            });
            self.unreached(of, rules, &every, takes_http);
            let rules = tls.iter().map(|rule| Rule {
                of,
                field: &rule.field,
                matches: &rule.matches,
            });
            self.unreached(of, rules, &[], takes_tls);
            let every = [L4Match::default()];
            let rules = tcp.iter().map(|rule| Rule {
                of,
                field: &rule.field,
                matches: &rule.matches,
            });
            self.unreached(of, rules, &every, takes_l4);
        }
    }

    /// A rule without matches stands for `every`.
    fn unreached<'a, M>(
        &mut self,
        of: &ResourceRef,
        rules: impl Iterator<Item = Rule<'a, M>>,
        every: &'a [M],
        takes: fn(&M, &M) -> bool,
    ) {
        let mut earlier: Vec<(&M, String)> = Vec::new();
        for rule in rules {
            let is_written = !rule.matches.is_empty();
            let matches = if is_written { rule.matches } else { every };
            // Matches of a delegated rule are narrowed, and not one by one what is written.
            let is_named = is_written && rule.of == of;
            let Rule { of, field, .. } = rule;
            let taker = |one: &M| earlier.iter().find(|(other, _)| takes(other, one));
            let takers: Vec<_> = matches.iter().map(taker).collect();
            if let (Some((_, by)), true) = (
                takers.iter().copied().flatten().next(),
                takers.iter().all(Option::is_some),
            ) {
                let reason = format!("is never reached: {by} takes all of it");
                self.warn(Code::VirtualServiceUnreachableRule, of, field, reason);
                continue;
            }
            for (i, taker) in takers.iter().enumerate() {
                if let (Some((_, by)), true) = (taker, is_named) {
                    let field = format!("{field}.match[{i}]");
                    let reason = format!("adds nothing: {by} takes all of it");
                    let code = Code::VirtualServiceIneffectiveMatch;
                    self.inform(code, of, &field, reason);
                }
            }
            let names = (0..matches.len()).map(|i| match is_named {
                true => format!("{field}.match[{i}]"),
                false => field.to_owned(),
            });
            earlier.extend(matches.iter().zip(names));
            if earlier.len() > MAX_COMPARED {
                return;
            }
        }
    }
}

/// Whether every request for `b` is one for `a` too.
fn takes_http(a: &HttpMatch, b: &HttpMatch) -> bool {
    let text = |a: &Option<Pattern>, b: &Option<Pattern>| match (a, b) {
        (None, _) => true,
        (Some(a), Some(b)) => takes_text(a, b),
        (Some(_), None) => false,
    };
    takes_path(a.path.as_ref(), b.path.as_ref())
        && takes_headers(&a.headers, &b.headers)
        && takes_headers(&a.query, &b.query)
        && a.without_headers
            .iter()
            .all(|a| b.without_headers.contains(a))
        && a.claims.iter().all(|a| b.claims.contains(a))
        && text(&a.scheme, &b.scheme)
        && text(&a.method, &b.method)
        && text(&a.authority, &b.authority)
        && (a.port.is_none() || a.port == b.port)
        && takes_client(&a.client, &b.client)
}

fn takes_tls(a: &TlsMatch, b: &TlsMatch) -> bool {
    let names = b.server_names.iter();
    let mut names = names.map(|b| a.server_names.iter().any(|a| a.covers(b)));
    names.all(|taken| taken) && takes_l4(&a.connection, &b.connection)
}

fn takes_l4(a: &L4Match, b: &L4Match) -> bool {
    let within = |b: &IpNetwork| {
        let mut networks = a.destinations.iter();
        networks.any(|a| a.prefix_len <= b.prefix_len && a.contains(b.address))
    };
    let networks = a.destinations.is_empty()
        || (!b.destinations.is_empty() && b.destinations.iter().all(within));
    networks && (a.port.is_none() || a.port == b.port) && takes_client(&a.client, &b.client)
}

fn takes_path(a: Option<&PathCondition>, b: Option<&PathCondition>) -> bool {
    let Some(a) = a else {
        return true;
    };
    let every = match &a.pattern {
        Pattern::Prefix(prefix) => prefix == "/" || prefix.is_empty(),
        Pattern::Regex(regex) => regex == ".*" || regex == "*",
        _ => false,
    };
    let Some(b) = b else {
        return every;
    };
    let lower = |path: &PathCondition| match &path.pattern {
        Pattern::Exact(text) => Pattern::Exact(text.to_ascii_lowercase()),
        Pattern::Prefix(text) => Pattern::Prefix(text.to_ascii_lowercase()),
        other => other.clone(),
    };
    if let (Pattern::Prefix(prefix), true, false) = (&a.pattern, a.by_segment, every) {
        // `/a` does not stand for `/ab`, which a plain prefix `/a` stands for.
        let (Pattern::Exact(path) | Pattern::Prefix(path)) = &b.pattern else {
            return false;
        };
        let is_whole = b.by_segment || matches!(b.pattern, Pattern::Exact(_));
        let prefix = prefix.trim_end_matches('/');
        let rest = path.strip_prefix(prefix);
        return !a.ignore_case
            && !b.ignore_case
            && rest.is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && is_whole));
    }
    every
        || match (a.ignore_case, b.ignore_case) {
            (false, true) => false,
            (true, _) => takes_text(&lower(a), &lower(b)),
            (false, false) => takes_text(&a.pattern, &b.pattern),
        }
}

fn takes_headers(a: &[HeaderCondition], b: &[HeaderCondition]) -> bool {
    a.iter().all(|a| {
        let mut same = b.iter().filter(|b| a.name == b.name);
        same.any(|b| match (&a.value, &b.value) {
            (TextCondition::Present, _) => true,
            (TextCondition::Is(a), TextCondition::Is(b)) => takes_text(a, b),
            (TextCondition::Is(_), TextCondition::Present) => false,
        })
    })
}

fn takes_client(a: &ClientMatch, b: &ClientMatch) -> bool {
    // A match that names gateways asks nothing else of a sidecar.
    if *a == ClientMatch::default() || a == b {
        return true;
    }
    let gateways = !b.gateways.is_empty() && b.gateways.iter().all(|b| a.gateways.contains(b));
    let labels = |a: &ClientMatch, b: &ClientMatch| {
        a.labels.matches(&b.labels.0) && (a.namespace.is_none() || a.namespace == b.namespace)
    };
    match a.gateways.is_empty() {
        true => b.gateways.is_empty() && labels(a, b),
        false => gateways,
    }
}

/// Whether every text for `b` is one for `a` too.
pub(super) fn takes_text(a: &Pattern, b: &Pattern) -> bool {
    if a == b {
        return true;
    }
    match (a, b) {
        (Pattern::Regex(a), _) if a == ".*" => true,
        (Pattern::Regex(a), Pattern::Exact(b) | Pattern::Prefix(b) | Pattern::Suffix(b)) => {
            a == ".+" && !b.is_empty()
        }
        (Pattern::Prefix(a), Pattern::Exact(b) | Pattern::Prefix(b)) => b.starts_with(a),
        (Pattern::Suffix(a), Pattern::Exact(b) | Pattern::Suffix(b)) => b.ends_with(a),
        (Pattern::Contains(a), b) => match b {
            Pattern::Exact(b) | Pattern::Prefix(b) | Pattern::Suffix(b) | Pattern::Contains(b) => {
                b.contains(a)
            }
            Pattern::Regex(_) => false,
        },
        _ => false,
    }
}

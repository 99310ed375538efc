//! Rules for HTTP requests.

use super::{Lower, blank, each, filters::Effects};
use crate::{
    config::gateway_api::{
        BackendObjectRef, HttpBackendRef, HttpMatch as WrittenMatch, HttpRule as WrittenRule,
        HttpTimeouts, MatchKind, PathMatchKind, RouteRetry, ValueMatch,
    },
    mesh::{
        Forward, HeaderCondition, HttpAction, HttpMatch, PathCondition, RetryPolicy, TextCondition,
        gateway_api::route::{PathRank, Precedence, Rule, RuleMatch},
        traffic::is_header_name,
    },
    name::Pattern,
};

/// What is tried again where a rule asks for retries: failures to connect.
const RETRY_ON: [&str; 4] = [
    "connect-failure",
    "refused-stream",
    "unavailable",
    "cancelled",
];
/// How often where a rule does not say.
const RETRIES: u32 = 2;
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

impl Lower<'_> {
    pub(super) fn http_rules(&mut self, written: &[WrittenRule]) -> Vec<Rule> {
        // A route without rules is one with a rule that says nothing.
        let none = [WrittenRule::default()];
        let written = if written.is_empty() { &none } else { written };
        each(written, "spec.rules")
            .map(|(field, rule)| self.http_rule(&field, rule))
            .collect()
    }

    fn http_rule(&mut self, field: &str, written: &WrittenRule) -> Rule {
        let mut rule = blank(&written.name, field);
        let any = [WrittenMatch::default()];
        let matches = match &written.matches[..] {
            [] => &any,
            matches => matches,
        };
        rule.conditions = each(matches, &format!("{field}.matches"))
            .map(|(field, written)| self.http_match(&field, written))
            .collect();
        let at = format!("{field}.filters");
        let mut effects = self.filters(&at, &written.filters, false);
        let prefixes = rule.conditions.iter().filter(|m| {
            let path = m.condition.path.as_ref();
            path.is_none_or(|path| matches!(path.pattern, Pattern::Prefix(_)))
        });
        if effects.replaces_prefix && (prefixes.count() != 1 || matches.len() != 1) {
            let reason = "ReplacePrefixMatch needs a rule with exactly one match, on a PathPrefix";
            self.findings.error(&at, reason);
        }
        let at = format!("{field}.backendRefs");
        for (field, backend) in each(&written.backend_refs, &at) {
            let own = self.filters(&format!("{field}.filters"), &backend.filters, true);
            rule.refused = rule.refused.take().or(own.refused);
            let backend = self.backend(field, object(backend), backend.weight, own.headers);
            rule.backends.push(backend);
        }
        rule.base.action = match effects.redirect.take() {
            Some(redirect) => {
                if !rule.backends.is_empty() {
                    let reason = "a redirect has no destinations: leave one of both out";
                    self.findings.error(&at, reason);
                }
                HttpAction::Redirect(redirect)
            }
            None => HttpAction::Forward(self.forward(field, written, &mut effects)),
        };
        rule.base.headers = effects.headers;
        rule.base.cors = effects.cors;
        rule.mirrors = effects.mirrors;
        rule.refused = rule.refused.take().or(effects.refused);
        rule
    }

    /// Destinations are looked up later.
    fn forward(&mut self, field: &str, written: &WrittenRule, effects: &mut Effects) -> Forward {
        let timeouts = written.timeouts.unwrap_or_default();
        let limit = |span: Option<crate::config::Span>| span.map(|s| s.0).filter(|d| !d.is_zero());
        let HttpTimeouts {
            request,
            backend_request,
        } = timeouts;
        let (request, attempt) = (limit(request), limit(backend_request));
        if let (Some(request), Some(attempt)) = (request, attempt)
            && attempt > request
        {
            let at = format!("{field}.timeouts.backendRequest");
            self.findings
                .error(&at, "is longer than the whole request may take");
        }
        let retries = written.retry.as_ref();
        let retries = retries.map(|retry| self.retry(&format!("{field}.retry"), retry));
        let retries = retries.map(|policy| RetryPolicy {
            per_try_timeout: attempt,
            ..policy
        });
        Forward {
            destinations: Vec::new(),
            nowhere: 0,
            path: effects.path.take(),
            host: effects.host.take(),
            // Without retries the only attempt is the request.
            timeout: match retries {
                Some(_) => request,
                None => attempt.or(request),
            },
            retries,
            mirrors: Vec::new(),
        }
    }

    fn retry(&mut self, field: &str, written: &RouteRetry) -> RetryPolicy {
        for (field, code) in each(&written.codes, &format!("{field}.codes")) {
            if !(400..600).contains(code) {
                let reason = format!("{code} is no status between 400 and 599");
                self.findings.error(&field, reason);
            }
        }
        RetryPolicy {
            attempts: written.attempts.unwrap_or(RETRIES),
            per_try_timeout: None,
            retry_on: RETRY_ON.map(String::from).into(),
            statuses: written.codes.clone(),
            remote_localities: false,
            ignore_previous_hosts: true,
            backoff: written.backoff.map(|span| span.0),
        }
    }

    fn http_match(&mut self, field: &str, written: &WrittenMatch) -> RuleMatch {
        if let Some(method) = &written.method
            && !METHODS.contains(&&**method)
        {
            let at = format!("{field}.method");
            self.findings.error(&at, format!("{method:?} is no method"));
            self.findings
                .advise(format!("possible are {}", METHODS.join(", ")));
        }
        let path = written.path.clone().unwrap_or_default();
        let text = path.value.as_deref().unwrap_or("/");
        let (rank, path) = self.path(&format!("{field}.path.value"), path.kind, text);
        let len = path.as_ref().map_or(1, |path| match &path.pattern {
            Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Regex(text) => text.len(),
            _ => 1,
        });
        let condition = HttpMatch {
            path,
            headers: self.values(&format!("{field}.headers"), &written.headers, true),
            query: self.values(
                &format!("{field}.queryParams"),
                &written.query_params,
                false,
            ),
            method: written.method.clone().map(Pattern::Exact),
            ..HttpMatch::default()
        };
        let has_method = condition.method.is_some();
        RuleMatch {
            precedence: Precedence::new(rank, len, has_method, &condition),
            condition,
        }
    }

    fn path(
        &mut self,
        field: &str,
        kind: PathMatchKind,
        text: &str,
    ) -> (PathRank, Option<PathCondition>) {
        let is_path = text.starts_with('/')
            && !text.contains("//")
            && !text.contains("/../")
            && !text.contains("/./")
            && !text.contains('#');
        if kind != PathMatchKind::RegularExpression && !is_path {
            self.findings.error(
                field,
                format!("{text:?} is no absolute path in its plainest form"),
            );
        }
        let condition = |pattern, by_segment| {
            Some(PathCondition {
                pattern,
                ignore_case: false,
                by_segment,
            })
        };
        match kind {
            PathMatchKind::Exact => {
                let exact = condition(Pattern::Exact(text.into()), false);
                (PathRank::Exact, exact)
            }
            // A slash at the end makes no difference; without it nothing is left to ask of a path.
            PathMatchKind::PathPrefix => match text.strip_suffix('/').unwrap_or(text) {
                "" => (PathRank::Prefix, None),
                prefix => {
                    let prefix = condition(Pattern::Prefix(prefix.into()), true);
                    (PathRank::Prefix, prefix)
                }
            },
            PathMatchKind::RegularExpression => {
                let pattern = self.findings.pattern(field, Pattern::Regex(text.into()));
                let expression = pattern.and_then(|pattern| condition(pattern, false));
                (PathRank::Expression, expression)
            }
        }
    }

    /// Of conditions on the same name only the first counts.
    pub(super) fn values(
        &mut self,
        field: &str,
        written: &[ValueMatch],
        is_header: bool,
    ) -> Vec<HeaderCondition> {
        let mut conditions: Vec<HeaderCondition> = Vec::with_capacity(written.len());
        for (field, value) in each(written, field) {
            let name = match is_header {
                true => value.name.to_ascii_lowercase(),
                false => value.name.clone(),
            };
            if name.is_empty() || (is_header && !is_header_name(&name)) {
                let at = format!("{field}.name");
                self.findings.error(&at, format!("{name:?} is no name"));
            }
            if conditions.iter().any(|known| known.name == name) {
                let reason = format!("{name} is asked for before: this has no effect");
                self.findings.warn(&field, reason);
                continue;
            }
            let pattern = match value.kind {
                MatchKind::Exact => Some(Pattern::Exact(value.value.clone())),
                MatchKind::RegularExpression => {
                    let at = format!("{field}.value");
                    self.findings
                        .pattern(&at, Pattern::Regex(value.value.clone()))
                }
            };
            conditions.extend(pattern.map(|pattern| HeaderCondition {
                name,
                value: TextCondition::Is(pattern),
            }));
        }
        conditions
    }
}

fn object(written: &HttpBackendRef) -> BackendObjectRef {
    BackendObjectRef {
        group: written.group.clone(),
        kind: written.kind.clone(),
        namespace: written.namespace.clone(),
        name: written.name.clone(),
        port: written.port,
    }
}

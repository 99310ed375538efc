//! Which HTTP requests.

use std::collections::BTreeMap;

use super::{Lower, policy::is_header_name};
use crate::{
    config::istio::{self, StringMatch},
    mesh::{ClaimCondition, HeaderCondition, HttpMatch, PathCondition, TextCondition},
    name::Pattern,
};

impl Lower<'_> {
    pub(super) fn http_match(&mut self, field: &str, written: &istio::HttpMatch) -> HttpMatch {
        let path = self.text(&format!("{field}.uri"), written.uri.as_ref());
        if written.ignore_uri_case && matches!(path, Some(Pattern::Regex(_))) {
            let at = format!("{field}.ignoreUriCase");
            self.findings
                .warn(&at, "has no effect on a regular expression");
            self.findings.advise("start the expression with (?i)");
        }
        if !written.stat_prefix.is_empty() {
            let at = format!("{field}.statPrefix");
            let reason = "not supported yet: such requests are not counted by themselves";
            self.findings.warn(&at, reason);
        }
        let ignore_case = written.ignore_uri_case && !matches!(path, Some(Pattern::Regex(_)));
        HttpMatch {
            name: written.name.clone(),
            path: path.map(|pattern| PathCondition {
                pattern,
                ignore_case,
                by_segment: false,
            }),
            headers: self.conditions(&format!("{field}.headers"), &written.headers, true),
            without_headers: self.conditions(
                &format!("{field}.withoutHeaders"),
                &written.without_headers,
                true,
            ),
            query: self.conditions(
                &format!("{field}.queryParams"),
                &written.query_params,
                false,
            ),
            claims: self.claims(field, written),
            scheme: self.text(&format!("{field}.scheme"), written.scheme.as_ref()),
            method: self.text(&format!("{field}.method"), written.method.as_ref()),
            authority: self.text(&format!("{field}.authority"), written.authority.as_ref()),
            port: written.port,
            client: self.client(
                &written.gateways,
                &written.source_labels,
                &written.source_namespace,
            ),
        }
    }

    fn conditions(
        &mut self,
        field: &str,
        written: &BTreeMap<String, StringMatch>,
        is_header: bool,
    ) -> Vec<HeaderCondition> {
        let mut conditions = Vec::with_capacity(written.len());
        for (name, value) in written {
            let at = format!("{field}.{name}");
            if is_header && is_claim(name) {
                continue;
            }
            if is_header && !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
                self.findings
                    .error(&at, format!("{name:?} is no header name"));
            }
            let pattern = self.text(&at, Some(value));
            conditions.push(HeaderCondition {
                name: match is_header {
                    true => name.to_ascii_lowercase(),
                    false => name.clone(),
                },
                value: match pattern {
                    None => TextCondition::Present,
                    Some(pattern) => TextCondition::Is(pattern),
                },
            });
        }
        conditions
    }

    /// What is asked of tokens, written among the headers under names that no header has.
    fn claims(&mut self, field: &str, written: &istio::HttpMatch) -> Vec<ClaimCondition> {
        let both = [
            ("headers", &written.headers),
            ("withoutHeaders", &written.without_headers),
        ];
        let mut conditions = Vec::new();
        for (key, written) in both {
            for (name, value) in written.iter().filter(|(name, _)| is_claim(name)) {
                let at = format!("{field}.{key}.{name}");
                let pattern = self.text(&at, Some(value));
                let Some(path) = claim_path(name) else {
                    self.findings.error(&at, format!("{name:?} names no claim"));
                    self.findings
                        .advise("write @request.auth.claims.name or @request.auth.claims[a][b]");
                    continue;
                };
                conditions.push(ClaimCondition {
                    path,
                    value: pattern.map_or(TextCondition::Present, TextCondition::Is),
                    negated: key == "withoutHeaders",
                });
            }
        }
        conditions
    }

    /// A condition on a text; none if it asks for nothing.
    pub(super) fn text(&mut self, field: &str, written: Option<&StringMatch>) -> Option<Pattern> {
        let written = written?;
        match (&written.exact, &written.prefix, &written.regex) {
            (Some(exact), None, None) => Some(Pattern::Exact(exact.clone())),
            (None, Some(prefix), None) => Some(Pattern::Prefix(prefix.clone())),
            // No expression, but Istio takes it for any value.
            (None, None, Some(regex)) if regex == "*" => None,
            (None, None, Some(regex)) => {
                let at = format!("{field}.regex");
                self.findings.pattern(&at, Pattern::Regex(regex.clone()))
            }
            (None, None, None) => None,
            _ => {
                self.findings
                    .error(field, "only one of exact, prefix, regex is allowed");
                None
            }
        }
    }
}

/// Whether a condition that stands among those on headers is one on a token.
fn is_claim(name: &str) -> bool {
    let start = name.get(..TOKEN.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(TOKEN))
}

/// How every name begins that is about a token; the case of letters does not matter.
const TOKEN: &str = "@request.auth.";

/// `claims.a.b` or `claims[a][b.c]`, after [`TOKEN`], as the names that lead to the claim.
fn claim_path(name: &str) -> Option<Vec<String>> {
    let rest = name.get(TOKEN.len()..)?;
    let (word, rest) = rest.split_at_checked("claims".len())?;
    let names = match rest.strip_prefix('.') {
        Some(names) => names.split('.').collect::<Vec<_>>(),
        None => rest
            .strip_prefix('[')?
            .strip_suffix(']')?
            .split("][")
            .collect(),
    };
    let is_told = word.eq_ignore_ascii_case("claims") && names.iter().all(|name| !name.is_empty());
    is_told.then(|| names.into_iter().map(str::to_owned).collect())
}

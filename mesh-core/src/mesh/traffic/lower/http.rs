//! Rules for HTTP requests, and what becomes of the requests.

use super::{Lower, each};
use crate::{
    config::istio,
    mesh::{Forward, HttpAction, HttpRule, Mirror, PathRewrite, PerMillion},
    name::Pattern,
};

impl Lower<'_> {
    pub(super) fn http_rule(
        &mut self,
        field: String,
        written: &istio::HttpRoute,
    ) -> Option<HttpRule> {
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| self.http_match(&field, written))
            .collect();
        let action = self.action(&field, written)?;
        let fault = written.fault.as_ref();
        let cors = written.cors_policy.as_ref();
        Some(HttpRule {
            name: written.name.clone(),
            origin: None,
            matches,
            action,
            fault: fault.and_then(|fault| self.fault(&format!("{field}.fault"), fault)),
            cors: cors.map(|cors| self.cors(&format!("{field}.corsPolicy"), cors)),
            headers: self.headers(&format!("{field}.headers"), &written.headers),
            field,
        })
    }

    fn action(&mut self, field: &str, written: &istio::HttpRoute) -> Option<HttpAction> {
        match (
            &written.redirect,
            &written.direct_response,
            &written.route[..],
        ) {
            (Some(redirect), None, []) => self
                .redirect(&format!("{field}.redirect"), redirect)
                .map(HttpAction::Redirect),
            (None, Some(response), []) => self
                .respond(&format!("{field}.directResponse"), response)
                .map(HttpAction::Respond),
            (None, None, [_, ..]) => Some(HttpAction::Forward(self.forward(field, written))),
            (None, None, []) => {
                self.findings
                    .error(field, "one of route, redirect, directResponse is needed");
                None
            }
            _ => {
                self.findings.error(
                    field,
                    "only one of route, redirect, directResponse is allowed",
                );
                None
            }
        }
    }

    fn forward(&mut self, field: &str, written: &istio::HttpRoute) -> Forward {
        let (path, host) = self.rewrite(field, written);
        let retries = written.retries.as_ref();
        Forward {
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            nowhere: 0,
            path,
            host,
            timeout: written.timeout.map(|span| span.0).filter(|t| !t.is_zero()),
            retries: retries.map(|retries| self.retries(&format!("{field}.retries"), retries)),
            mirrors: self.mirrors(field, written),
        }
    }

    /// The path and the host to send.
    pub(super) fn rewrite(
        &mut self,
        field: &str,
        written: &istio::HttpRoute,
    ) -> (Option<PathRewrite>, Option<String>) {
        let rewrite = written.rewrite.clone().unwrap_or_default();
        let path = match rewrite.uri_regex_rewrite {
            Some(regex) => {
                let at = format!("{field}.rewrite.uriRegexRewrite");
                if !rewrite.uri.is_empty() {
                    self.findings
                        .error(&at, "uri is given too: one of both is allowed");
                }
                Some(self.regex_rewrite(&at, regex))
            }
            None => Some(rewrite.uri)
                .filter(|uri| !uri.is_empty())
                .map(PathRewrite::Matched),
        };
        if let Some(PathRewrite::Matched(uri)) = &path
            && !uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
        {
            let reason = format!("{uri:?} cannot stand in a path");
            self.findings.error(&format!("{field}.rewrite.uri"), reason);
        }
        let host = Some(rewrite.authority).filter(|host| !host.is_empty());
        if let Some(host) = &host {
            self.authority(&format!("{field}.rewrite.authority"), host);
        }
        (path, host)
    }

    fn regex_rewrite(&mut self, at: &str, written: istio::RegexRewrite) -> PathRewrite {
        let pattern = Pattern::Regex(written.pattern.clone());
        self.findings.pattern(&format!("{at}.match"), pattern);
        if let Ok(search) = Pattern::compile_search(&written.pattern)
            && let Some(group) = groups_of(&written.rewrite).max()
            && group >= search.captures_len()
        {
            let reason = format!("\\{group} refers to a group that match does not have");
            self.findings.error(&format!("{at}.rewrite"), reason);
        }
        PathRewrite::Regex {
            pattern: written.pattern,
            substitution: written.rewrite,
        }
    }

    pub(super) fn mirrors(&mut self, field: &str, written: &istio::HttpRoute) -> Vec<Mirror> {
        let mut mirrors = Vec::new();
        if let Some(destination) = &written.mirror {
            let deprecated = written.mirror_percent.map(f64::from);
            let at = format!("{field}.mirrorPercentage.value");
            let share = match (&written.mirror_percentage, deprecated) {
                (Some(percent), _) => self.findings.percent(&at, percent.value),
                (None, Some(percent)) => self
                    .findings
                    .percent(&format!("{field}.mirrorPercent"), percent),
                (None, None) => PerMillion::ALL,
            };
            let destination = self.destination(&format!("{field}.mirror"), destination);
            mirrors.extend(destination.map(|destination| Mirror { destination, share }));
        }
        for (field, mirror) in each(&written.mirrors, &format!("{field}.mirrors")) {
            let share = match &mirror.percentage {
                Some(percent) => {
                    let at = format!("{field}.percentage.value");
                    self.findings.percent(&at, percent.value)
                }
                None => PerMillion::ALL,
            };
            let at = format!("{field}.destination");
            let destination = self.destination(&at, &mirror.destination);
            mirrors.extend(destination.map(|destination| Mirror { destination, share }));
        }
        mirrors.retain(|mirror| mirror.share != PerMillion::default());
        mirrors
    }
}

/// The groups that a replacement refers to: `\1`, but not `\\1`.
fn groups_of(replacement: &str) -> impl Iterator<Item = usize> {
    let mut chars = replacement.chars();
    std::iter::from_fn(move || {
        chars.find(|c| *c == '\\')?;
        Some(chars.next().and_then(|next| next.to_digit(10)))
    })
    .flatten()
    .map(|digit| digit as usize)
}

//! What filters do to requests and responses.

use std::time::Duration;

use super::{Lower, each};
use crate::{
    config::gateway_api::{
        CorsFilter, HeaderFilter, HeaderLine, HttpFilter, HttpFilterKind as Kind, MirrorFilter,
        PathModifier, PathModifierKind, RedirectFilter, RewriteFilter,
    },
    mesh::{
        CorsPolicy, HeaderEdits, PathRewrite, PerMillion, Redirect, RedirectPort,
        gateway_api::route::MirrorTo, traffic::is_header_name,
    },
    name::Pattern,
};

/// What the filters of a rule, or of one of its destinations, do together.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) headers: HeaderEdits,
    pub(super) redirect: Option<Redirect>,
    pub(super) path: Option<PathRewrite>,
    pub(super) host: Option<String>,
    pub(super) cors: Option<CorsPolicy>,
    pub(super) mirrors: Vec<MirrorTo>,
    pub(super) replaces_prefix: bool,
    pub(super) refused: Option<String>,
}

impl Lower<'_> {
    /// Of a destination only headers can be changed. What is not honoured is not left out: its
    /// requests are answered with a 500, as the Gateway API asks for.
    pub(super) fn filters(
        &mut self,
        field: &str,
        written: &[HttpFilter],
        of_backend: bool,
    ) -> Effects {
        let mut effects = Effects::default();
        let mut seen: Vec<Kind> = Vec::new();
        for (field, filter) in each(written, field) {
            let Some(kind) = filter.kind else {
                self.findings.error(&format!("{field}.type"), "is missing");
                continue;
            };
            let repeats = matches!(kind, Kind::RequestMirror | Kind::ExtensionRef);
            if seen.contains(&kind) && !repeats {
                let reason = "a filter of this type is given before";
                self.findings.error(&field, reason);
            }
            seen.push(kind);
            self.filter(&field, kind, filter, of_backend, &mut effects);
        }
        if seen.contains(&Kind::RequestRedirect) && seen.contains(&Kind::UrlRewrite) {
            let reason = "a redirect and a rewrite exclude each other";
            self.findings.error(field, reason);
        }
        effects
    }

    fn filter(
        &mut self,
        field: &str,
        kind: Kind,
        filter: &HttpFilter,
        of_backend: bool,
        effects: &mut Effects,
    ) {
        let honoured = match kind {
            Kind::RequestHeaderModifier | Kind::ResponseHeaderModifier => true,
            Kind::ExternalAuth | Kind::ExtensionRef => false,
            _ => !of_backend,
        };
        if !honoured {
            let place = if of_backend {
                " of one destination"
            } else {
                ""
            };
            let reason = format!("{kind:?}{place} is not supported yet");
            let fate = format!("{reason}: requests of this rule get a 500");
            self.findings.warn(field, fate);
            effects.refused = Some(reason);
            return;
        }
        let given = match kind {
            Kind::RequestHeaderModifier => filter.request_header_modifier.as_ref().map(|edits| {
                let headers = &mut effects.headers;
                let at = format!("{field}.requestHeaderModifier");
                let all = self.edits(&at, edits);
                (
                    headers.request_set,
                    headers.request_add,
                    headers.request_remove,
                ) = all;
            }),
            Kind::ResponseHeaderModifier => filter.response_header_modifier.as_ref().map(|edits| {
                let headers = &mut effects.headers;
                let at = format!("{field}.responseHeaderModifier");
                let all = self.edits(&at, edits);
                (
                    headers.response_set,
                    headers.response_add,
                    headers.response_remove,
                ) = all;
            }),
            Kind::RequestRedirect => filter.request_redirect.as_ref().map(|redirect| {
                let at = format!("{field}.requestRedirect");
                effects.redirect = Some(self.redirect(&at, redirect, &mut effects.replaces_prefix));
            }),
            Kind::UrlRewrite => filter.url_rewrite.as_ref().map(|rewrite| {
                self.rewrite(&format!("{field}.urlRewrite"), rewrite, effects);
            }),
            Kind::RequestMirror => filter.request_mirror.as_ref().map(|mirror| {
                let mirror = self.mirror(&format!("{field}.requestMirror"), mirror);
                effects.mirrors.extend(mirror);
            }),
            Kind::Cors => filter.cors.as_ref().map(|cors| {
                effects.cors = Some(self.cors(&format!("{field}.cors"), cors));
            }),
            Kind::ExternalAuth | Kind::ExtensionRef => None,
        };
        if given.is_none() {
            let reason = format!("says nothing: the field of a {kind:?} is missing");
            self.findings.error(field, reason);
        }
    }

    #[expect(clippy::type_complexity, reason = "three lists of one struct")]
    fn edits(
        &mut self,
        field: &str,
        written: &HeaderFilter,
    ) -> (Vec<(String, String)>, Vec<(String, String)>, Vec<String>) {
        for (field, name) in each(&written.remove, &format!("{field}.remove")) {
            self.editable(&field, name);
        }
        // Setting the host of a request rewrites it; nothing else can be done to it.
        let is_request = field.ends_with(".requestHeaderModifier");
        let set = self.lines(&format!("{field}.set"), &written.set, is_request);
        let add = self.lines(&format!("{field}.add"), &written.add, false);
        (set, add, written.remove.clone())
    }

    /// Of several lines for one name only the first counts. Values mean themselves: a `%` is no
    /// operator, as it would be in a VirtualService.
    fn lines(
        &mut self,
        field: &str,
        written: &[HeaderLine],
        may_name_host: bool,
    ) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::with_capacity(written.len());
        for (field, line) in each(written, field) {
            if !(may_name_host && line.name.eq_ignore_ascii_case("host")) {
                self.editable(&format!("{field}.name"), &line.name);
            }
            if !line.value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
                let reason = format!("{:?} cannot be a header's value", line.value);
                self.findings.error(&format!("{field}.value"), reason);
            }
            if lines
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(&line.name))
            {
                let reason = format!("{} is given before: this has no effect", line.name);
                self.findings.warn(&field, reason);
                continue;
            }
            lines.push((line.name.clone(), line.value.replace('%', "%%")));
        }
        lines
    }

    fn editable(&mut self, field: &str, name: &str) {
        self.header_name(field, name);
        if name.eq_ignore_ascii_case("host") {
            let reason = format!("{name:?} can be set on requests, and nothing else");
            self.findings.error(field, reason);
        }
    }

    fn header_name(&mut self, field: &str, name: &str) {
        if !is_header_name(name) {
            let reason = format!("{name:?} is no header name");
            self.findings.error(field, reason);
        }
    }

    fn redirect(
        &mut self,
        field: &str,
        written: &RedirectFilter,
        replaces_prefix: &mut bool,
    ) -> Redirect {
        let status = written.status_code.unwrap_or(302);
        if ![301, 302, 303, 307, 308].contains(&status) {
            let reason = format!("{status} is none of 301, 302, 303, 307, 308");
            self.findings.error(&format!("{field}.statusCode"), reason);
        }
        let port_of_scheme = match written.scheme.as_deref() {
            None => None,
            Some("http") => Some(80),
            Some("https") => Some(443),
            Some(scheme) => {
                let reason = format!("{scheme:?} is neither http nor https");
                self.findings.error(&format!("{field}.scheme"), reason);
                None
            }
        };
        // The Gateway API: the port said, else the scheme's own, else the listener's.
        let port = written.port.or(port_of_scheme).map(RedirectPort::Number);
        let path = written.path.as_ref();
        let path = path.and_then(|path| self.modifier(&format!("{field}.path"), path));
        let (path, prefix) = match path {
            Some(PathRewrite::Whole(path)) => (Some(path), None),
            Some(PathRewrite::Matched(prefix)) => (None, Some(prefix)),
            _ => (None, None),
        };
        *replaces_prefix |= prefix.is_some();
        Redirect {
            status,
            scheme: written.scheme.clone(),
            authority: self.hostname(&format!("{field}.hostname"), written.hostname.as_ref()),
            port: Some(port.unwrap_or(RedirectPort::Request)),
            path,
            prefix,
        }
    }

    fn rewrite(&mut self, field: &str, written: &RewriteFilter, effects: &mut Effects) {
        effects.host = self.hostname(&format!("{field}.hostname"), written.hostname.as_ref());
        let path = written.path.as_ref();
        effects.path = path.and_then(|path| self.modifier(&format!("{field}.path"), path));
        effects.replaces_prefix |= matches!(effects.path, Some(PathRewrite::Matched(_)));
    }

    /// A slash at the end of a prefix makes no difference.
    fn modifier(&mut self, field: &str, written: &PathModifier) -> Option<PathRewrite> {
        let text = match written.kind {
            Some(PathModifierKind::ReplaceFullPath) => &written.replace_full_path,
            Some(PathModifierKind::ReplacePrefixMatch) => &written.replace_prefix_match,
            None => {
                self.findings.error(&format!("{field}.type"), "is missing");
                return None;
            }
        };
        let Some(text) = text else {
            self.findings.error(field, "does not say what to put there");
            return None;
        };
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            self.findings
                .error(field, format!("{text:?} cannot stand in a path"));
        }
        Some(match written.kind {
            Some(PathModifierKind::ReplaceFullPath) => PathRewrite::Whole(match &**text {
                "" => "/".into(),
                path => path.to_owned(),
            }),
            _ => PathRewrite::Matched(match text.strip_suffix('/').unwrap_or(text) {
                "" => "/".into(),
                prefix => prefix.to_owned(),
            }),
        })
    }

    fn hostname(&mut self, field: &str, written: Option<&String>) -> Option<String> {
        let host = self.findings.host(field, written?)?;
        if host.is_wildcard() {
            self.findings.error(field, "cannot be a wildcard");
        }
        Some(host.to_string())
    }

    fn mirror(&mut self, field: &str, written: &MirrorFilter) -> Option<MirrorTo> {
        let at = format!("{field}.backendRef");
        self.destination(&at, &written.backend_ref);
        let share = match (&written.fraction, written.percent) {
            (Some(_), Some(_)) => {
                let reason = "percent and fraction exclude each other";
                self.findings.error(field, reason);
                PerMillion::default()
            }
            (Some(fraction), None) => {
                let whole = fraction.denominator.unwrap_or(100);
                if whole == 0 || fraction.numerator > whole {
                    let reason = "is no share: expected a numerator up to the denominator";
                    self.findings.error(&format!("{field}.fraction"), reason);
                }
                let percent = 100.0 * f64::from(fraction.numerator) / f64::from(whole.max(1));
                self.findings.percent(&format!("{field}.fraction"), percent)
            }
            (None, Some(percent)) => {
                let at = format!("{field}.percent");
                self.findings.percent(&at, f64::from(percent))
            }
            (None, None) => PerMillion::ALL,
        };
        (share != PerMillion::default()).then(|| MirrorTo {
            field: at,
            to: written.backend_ref.clone(),
            share,
        })
    }

    fn cors(&mut self, field: &str, written: &CorsFilter) -> CorsPolicy {
        let mut origins = Vec::with_capacity(written.allow_origins.len());
        for (field, text) in each(&written.allow_origins, &format!("{field}.allowOrigins")) {
            let pattern = match text.matches('*').count() {
                0 => Pattern::Exact(text.clone()),
                _ if text == "*" => Pattern::Exact("*".into()),
                _ => Pattern::Regex(regex::escape(text).replace(r"\*", "[^/]+")),
            };
            origins.extend(self.findings.pattern(&field, pattern));
        }
        for (field, name) in each(&written.allow_headers, &format!("{field}.allowHeaders")).chain(
            each(&written.expose_headers, &format!("{field}.exposeHeaders")),
        ) {
            self.header_name(&field, name);
        }
        CorsPolicy {
            allow_origins: origins,
            allow_methods: written.allow_methods.clone(),
            allow_headers: written.allow_headers.clone(),
            expose_headers: written.expose_headers.clone(),
            max_age: written.max_age.map(|s| Duration::from_secs(s.into())),
            allow_credentials: written.allow_credentials.filter(|allowed| *allowed),
            forward_unmatched_preflights: false,
        }
    }
}

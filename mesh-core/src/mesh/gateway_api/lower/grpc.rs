//! Rules for gRPC calls: HTTP requests whose path names a service and a method.

use super::{Lower, blank, each};
use crate::{
    config::gateway_api::{
        BackendObjectRef, GrpcBackendRef, GrpcFilter, GrpcFilterKind, GrpcMatch, GrpcMethodMatch,
        GrpcRule as WrittenRule, HttpFilter, HttpFilterKind, MatchKind,
    },
    mesh::{
        Forward, HttpAction, HttpMatch, PathCondition,
        gateway_api::route::{PathRank, Precedence, Rule, RuleMatch},
    },
    name::Pattern,
};

impl Lower<'_> {
    pub(super) fn grpc_rules(&mut self, written: &[WrittenRule]) -> Vec<Rule> {
        each(written, "spec.rules")
            .map(|(field, rule)| self.grpc_rule(&field, rule))
            .collect()
    }

    fn grpc_rule(&mut self, field: &str, written: &WrittenRule) -> Rule {
        let mut rule = blank(&written.name, field);
        let any = [GrpcMatch::default()];
        let matches = match &written.matches[..] {
            [] => &any,
            matches => matches,
        };
        rule.conditions = each(matches, &format!("{field}.matches"))
            .map(|(field, written)| self.grpc_match(&field, written))
            .collect();
        let filters: Vec<_> = written.filters.iter().map(of_http).collect();
        let effects = self.filters(&format!("{field}.filters"), &filters, false);
        for (field, backend) in each(&written.backend_refs, &format!("{field}.backendRefs")) {
            let filters: Vec<_> = backend.filters.iter().map(of_http).collect();
            let own = self.filters(&format!("{field}.filters"), &filters, true);
            rule.refused = rule.refused.take().or(own.refused);
            let backend = self.backend(field, object(backend), backend.weight, own.headers);
            rule.backends.push(backend);
        }
        rule.base.action = HttpAction::Forward(Forward {
            destinations: Vec::new(),
            nowhere: 0,
            path: None,
            host: None,
            timeout: None,
            retries: None,
            mirrors: Vec::new(),
        });
        rule.base.headers = effects.headers;
        rule.mirrors = effects.mirrors;
        rule.refused = rule.refused.take().or(effects.refused);
        rule
    }

    fn grpc_match(&mut self, field: &str, written: &GrpcMatch) -> RuleMatch {
        let (rank, len, pattern) = match &written.method {
            None => (PathRank::Prefix, 1, None),
            Some(method) => self.method(&format!("{field}.method"), method),
        };
        let condition = HttpMatch {
            path: pattern.map(|pattern| PathCondition {
                pattern,
                ignore_case: false,
                by_segment: false,
            }),
            headers: self.values(&format!("{field}.headers"), &written.headers, true),
            ..HttpMatch::default()
        };
        let has_method = written.method.as_ref().is_some_and(|m| m.method.is_some());
        RuleMatch {
            precedence: Precedence::new(rank, len, has_method, &condition),
            condition,
        }
    }

    /// `/<service>/<method>`. A method of any service comes after every service, however short its
    /// name, and before what asks for neither.
    fn method(
        &mut self,
        field: &str,
        written: &GrpcMethodMatch,
    ) -> (PathRank, usize, Option<Pattern>) {
        let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (service, method) = (of(&written.service), of(&written.method));
        let is_exact = written.kind == MatchKind::Exact;
        let (rank, len, pattern) = match (service, method) {
            (None, None) => {
                self.findings
                    .error(field, "a service or a method is needed");
                return (PathRank::Prefix, 1, None);
            }
            (Some(service), Some(method)) if is_exact => {
                let path = format!("/{service}/{method}");
                (PathRank::Exact, path.len(), Pattern::Exact(path))
            }
            (Some(service), None) if is_exact => {
                let path = format!("/{service}/");
                (PathRank::Prefix, path.len(), Pattern::Prefix(path))
            }
            (None, Some(method)) => {
                let method = if is_exact {
                    regex::escape(&method)
                } else {
                    method
                };
                let path = format!("/[^/]+/{method}");
                (PathRank::Prefix, 1, Pattern::Regex(path))
            }
            (Some(service), method) => {
                let method = method.unwrap_or_else(|| ".+".into());
                let path = format!("/{service}/{method}");
                (PathRank::Expression, path.len(), Pattern::Regex(path))
            }
        };
        (rank, len, self.findings.pattern(field, pattern))
    }
}

/// The same filter of a route for HTTP requests.
fn of_http(written: &GrpcFilter) -> HttpFilter {
    HttpFilter {
        kind: written.kind.map(|kind| match kind {
            GrpcFilterKind::RequestHeaderModifier => HttpFilterKind::RequestHeaderModifier,
            GrpcFilterKind::ResponseHeaderModifier => HttpFilterKind::ResponseHeaderModifier,
            GrpcFilterKind::RequestMirror => HttpFilterKind::RequestMirror,
            GrpcFilterKind::ExtensionRef => HttpFilterKind::ExtensionRef,
        }),
        request_header_modifier: written.request_header_modifier.clone(),
        response_header_modifier: written.response_header_modifier.clone(),
        request_mirror: written.request_mirror.clone(),
        extension_ref: written.extension_ref.clone(),
        ..HttpFilter::default()
    }
}

fn object(written: &GrpcBackendRef) -> BackendObjectRef {
    BackendObjectRef {
        group: written.group.clone(),
        kind: written.kind.clone(),
        namespace: written.namespace.clone(),
        name: written.name.clone(),
        port: written.port,
    }
}

//! From the written VirtualService to what it means.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Abort, ClientMatch, CorsPolicy, Delay, Destination, DirectResponse, Fault, Forward,
    GatewayName, HeaderCondition, HeaderEdits, HttpAction, HttpMatch, HttpRule, L4Match, Mirror,
    PathCondition, PathRewrite, Redirect, RedirectPort, RetryPolicy, TcpRule, TextCondition,
    TlsMatch, TlsRule, TrafficRules, WeightedDestination,
};
use crate::{
    config::{
        Problem, Resource,
        istio::{self, StringMatch, UnmatchedPreflights},
    },
    mesh::{Exports, MeshDefaults, PerMillion, findings::Findings},
    name::{Host, Labels, Pattern, Selector},
};

/// The largest body of a direct response, in bytes: Envoy's limit as Istio sets it.
const MAX_RESPONSE_BODY: usize = 1 << 20;

/// What a VirtualService means by itself; whether its destinations exist is looked at elsewhere.
pub(in crate::mesh) fn traffic_rules(
    resource: &Resource,
    written: &istio::VirtualService,
    defaults: &MeshDefaults,
) -> (Option<TrafficRules>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
        namespace: &resource.reference.namespace,
        defaults,
    };
    if written.hosts.is_empty() {
        lower
            .findings
            .error("spec.hosts", "at least one host is needed");
        lower
            .findings
            .advise("a VirtualService that others delegate to is not supported yet");
    }
    let hosts: Vec<_> = each(&written.hosts, "spec.hosts")
        .filter_map(|(field, host)| lower.host(&field, host))
        .collect();
    let mut gateways: Vec<_> = written.gateways.iter().map(|g| lower.gateway(g)).collect();
    if gateways.is_empty() {
        gateways.push(GatewayName::Mesh);
    }
    if gateways == [GatewayName::Mesh] && hosts.iter().any(|host| host.as_str() == "*") {
        lower.findings.error(
            "spec.hosts",
            "the host * needs a gateway: sidecars have none",
        );
    }
    if written.http.is_empty() && written.tls.is_empty() && written.tcp.is_empty() {
        lower
            .findings
            .error("spec", "at least one http, tls or tcp route is needed");
    }
    let rules = TrafficRules {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        hosts,
        gateways,
        exports: Exports::of(&written.export_to, lower.namespace),
        http: each(&written.http, "spec.http")
            .filter_map(|(field, route)| lower.http_rule(field, route))
            .collect(),
        tls: each(&written.tls, "spec.tls")
            .map(|(field, route)| lower.tls_rule(field, route))
            .collect(),
        tcp: each(&written.tcp, "spec.tcp")
            .map(|(field, route)| lower.tcp_rule(field, route))
            .collect(),
    };
    lower.unreachable(&rules.http);
    lower.findings.conclude(rules)
}

fn each<'a, T>(items: &'a [T], field: &str) -> impl Iterator<Item = (String, &'a T)> {
    let numbered = items.iter().enumerate();
    numbered.map(move |(i, item)| (format!("{field}[{i}]"), item))
}

struct Lower<'a> {
    findings: Findings<'a>,
    namespace: &'a Arc<str>,
    defaults: &'a MeshDefaults,
}

impl Lower<'_> {
    /// A host in full: short names are of the rule's own namespace.
    fn host(&mut self, field: &str, text: &str) -> Option<Host> {
        let host = self.findings.host(field, text)?;
        Some(self.defaults.in_full(&host, self.namespace))
    }

    fn gateway(&self, text: &str) -> GatewayName {
        GatewayName::parse(text, self.namespace)
    }

    fn http_rule(&mut self, field: String, written: &istio::HttpRoute) -> Option<HttpRule> {
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| self.http_match(&field, written))
            .collect();
        let action = self.action(&field, written)?;
        let fault = written.fault.as_ref();
        let cors = written.cors_policy.as_ref();
        Some(HttpRule {
            name: written.name.clone(),
            matches,
            action,
            fault: fault.and_then(|fault| self.fault(&format!("{field}.fault"), fault)),
            cors: cors.map(|cors| self.cors(&format!("{field}.corsPolicy"), cors)),
            headers: self.headers(&format!("{field}.headers"), &written.headers),
            field,
        })
    }

    fn action(&mut self, field: &str, written: &istio::HttpRoute) -> Option<HttpAction> {
        if written.delegate.is_some() {
            self.findings
                .error(&format!("{field}.delegate"), "not supported yet");
            return None;
        }
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
        let rewrite = written.rewrite.clone().unwrap_or_default();
        let path = match rewrite.uri_regex_rewrite {
            Some(regex) => {
                let at = format!("{field}.rewrite.uriRegexRewrite");
                if !rewrite.uri.is_empty() {
                    self.findings
                        .error(&at, "uri is given too: one of both is allowed");
                }
                let pattern = Pattern::Regex(regex.pattern.clone());
                self.findings.pattern(&format!("{at}.match"), pattern);
                Some(PathRewrite::Regex {
                    pattern: regex.pattern,
                    substitution: regex.rewrite,
                })
            }
            None => Some(rewrite.uri)
                .filter(|uri| !uri.is_empty())
                .map(PathRewrite::Matched),
        };
        let retries = written.retries.as_ref();
        Forward {
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            path,
            host: Some(rewrite.authority).filter(|host| !host.is_empty()),
            timeout: written.timeout.map(|span| span.0).filter(|t| !t.is_zero()),
            retries: retries.map(|retries| self.retries(&format!("{field}.retries"), retries)),
            mirrors: self.mirrors(field, written),
        }
    }

    /// Weighted destinations: a lone one gets everything, those without weight nothing.
    fn destinations(
        &mut self,
        field: &str,
        written: &[istio::WeightedDestination],
    ) -> Vec<WeightedDestination> {
        let mut destinations = Vec::new();
        let mut sum: u32 = 0;
        for (field, written) in each(written, field) {
            let weight = written.weight.unwrap_or(0);
            let Ok(weight) = u32::try_from(weight) else {
                self.findings
                    .error(&format!("{field}.weight"), format!("{weight} is negative"));
                continue;
            };
            sum = sum.checked_add(weight).unwrap_or_else(|| {
                self.findings.error(
                    &format!("{field}.weight"),
                    "the sum of weights is too large",
                );
                sum
            });
            let headers = self.headers(&format!("{field}.headers"), &written.headers);
            let at = format!("{field}.destination");
            if let Some(destination) = self.destination(&at, &written.destination) {
                destinations.push(WeightedDestination {
                    destination,
                    weight,
                    headers,
                    field,
                });
            }
        }
        match &mut destinations[..] {
            [] if written.is_empty() => self.findings.error(field, "a destination is needed"),
            [lone] if written.len() == 1 => lone.weight = lone.weight.max(1),
            [..] if sum == 0 && written.len() > 1 => {
                self.findings.error(field, "the weights add up to 0");
                self.findings
                    .advise("give each destination a weight, such as 50");
            }
            [..] => destinations.retain(|destination| destination.weight > 0),
        }
        destinations
    }

    fn destination(&mut self, field: &str, written: &istio::Destination) -> Option<Destination> {
        let at = format!("{field}.host");
        let host = self.host(&at, &written.host)?;
        if host.is_wildcard() {
            self.findings
                .error(&at, "a destination cannot be a wildcard");
        }
        let port = written.port.as_ref().map(|port| port.number);
        if port == Some(0) {
            let at = format!("{field}.port.number");
            self.findings.error(&at, "a port is between 1 and 65535");
        }
        Some(Destination {
            host,
            subset: Some(&*written.subset)
                .filter(|subset| !subset.is_empty())
                .map(Into::into),
            port,
        })
    }

    fn http_match(&mut self, field: &str, written: &istio::HttpMatch) -> HttpMatch {
        let path = self.text(&format!("{field}.uri"), written.uri.as_ref());
        if written.ignore_uri_case && matches!(path, Some(Pattern::Regex(_))) {
            let at = format!("{field}.ignoreUriCase");
            self.findings
                .warn(&at, "has no effect on a regular expression");
            self.findings.advise("start the expression with (?i)");
        }
        let ignore_case = written.ignore_uri_case && !matches!(path, Some(Pattern::Regex(_)));
        HttpMatch {
            name: written.name.clone(),
            path: path.map(|pattern| PathCondition {
                pattern,
                ignore_case,
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

    fn client(&self, gateways: &[String], labels: &Labels, namespace: &str) -> ClientMatch {
        ClientMatch {
            gateways: gateways
                .iter()
                .map(|gateway| self.gateway(gateway))
                .collect(),
            labels: Selector(labels.clone()),
            namespace: Some(namespace).filter(|ns| !ns.is_empty()).map(Into::into),
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
            if is_header && !is_header_name(name) {
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
                    // Istio takes this expression, which is none, for any value.
                    None => TextCondition::Present,
                    Some(pattern) => TextCondition::Is(pattern),
                },
            });
        }
        conditions
    }

    /// A condition on a text; none if it asks for nothing.
    fn text(&mut self, field: &str, written: Option<&StringMatch>) -> Option<Pattern> {
        let written = written?;
        match (&written.exact, &written.prefix, &written.regex) {
            (Some(exact), None, None) => Some(Pattern::Exact(exact.clone())),
            (None, Some(prefix), None) => Some(Pattern::Prefix(prefix.clone())),
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

    fn redirect(&mut self, field: &str, written: &istio::Redirect) -> Option<Redirect> {
        let status = written
            .redirect_code
            .filter(|code| *code != 0)
            .unwrap_or(301);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let at = format!("{field}.redirectCode");
            self.findings.error(&at, format!("{status} is no redirect"));
            self.findings.advise("possible are 301, 302, 303, 307, 308");
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let port = match (written.port, written.derive_port) {
            (Some(port), None) => Some(RedirectPort::Number(port)),
            (None, Some(istio::RedirectPort::FromProtocolDefault)) => {
                Some(RedirectPort::ProtocolDefault)
            }
            (None, Some(istio::RedirectPort::FromRequestPort)) => Some(RedirectPort::Request),
            (None, None) => None,
            (Some(_), Some(_)) => {
                let at = format!("{field}.derivePort");
                self.findings
                    .error(&at, "port is given too: one of both is allowed");
                None
            }
        };
        let redirect = Redirect {
            status,
            scheme: given(&written.scheme),
            authority: given(&written.authority),
            port,
            path: given(&written.uri),
            prefix: given(&written.prefix_rewrite),
        };
        if redirect.path.is_some() && redirect.prefix.is_some() {
            let at = format!("{field}.prefixRewrite");
            self.findings
                .error(&at, "uri is given too: one of both is allowed");
        }
        Some(redirect)
    }

    fn respond(&mut self, field: &str, written: &istio::DirectResponse) -> Option<DirectResponse> {
        let status = self.status(&format!("{field}.status"), written.status.into())?;
        let body = written.body.clone().unwrap_or_default();
        let bytes = match (body.string, body.bytes) {
            (text, None) => text.unwrap_or_default().into_bytes(),
            (None, Some(base64)) => {
                use base64::Engine as _;
                let engine = &base64::engine::general_purpose::STANDARD;
                engine.decode(base64).unwrap_or_else(|_| {
                    let at = format!("{field}.body.bytes");
                    self.findings.error(&at, "is not base64");
                    Vec::new()
                })
            }
            (Some(_), Some(_)) => {
                let at = format!("{field}.body");
                self.findings
                    .error(&at, "only one of string, bytes is allowed");
                Vec::new()
            }
        };
        if bytes.len() > MAX_RESPONSE_BODY {
            let at = format!("{field}.body");
            self.findings
                .error(&at, format!("longer than {MAX_RESPONSE_BODY} bytes"));
        }
        Some(DirectResponse {
            status,
            body: bytes.into(),
        })
    }

    fn status(&mut self, field: &str, status: i64) -> Option<u16> {
        let status_code = u16::try_from(status).ok();
        let valid = status_code.filter(|status| (200..600).contains(status));
        if valid.is_none() {
            self.findings
                .error(field, format!("{status} is no status between 200 and 599"));
        }
        valid
    }

    fn retries(&mut self, field: &str, written: &istio::Retries) -> RetryPolicy {
        retry_policy(field, written, &mut self.findings)
    }

    fn fault(&mut self, field: &str, written: &istio::Fault) -> Option<Fault> {
        let delay = written.delay.as_ref().and_then(|delay| {
            let field = format!("{field}.delay");
            let Some(duration) = delay.fixed_delay.map(|span| span.0) else {
                self.findings
                    .error(&format!("{field}.fixedDelay"), "is missing");
                return None;
            };
            let percent = delay.percent.map(f64::from);
            let share = self.share(&field, delay.percentage.as_ref(), percent);
            Some(Delay { duration, share })
        });
        let abort = written.abort.as_ref().and_then(|abort| {
            let field = format!("{field}.abort");
            let share = self.share(&field, abort.percentage.as_ref(), None);
            let http_status = match abort.http_status {
                Some(status) => Some(self.status(&format!("{field}.httpStatus"), status.into())?),
                None => None,
            };
            let grpc_status = match &abort.grpc_status {
                Some(text) => Some(self.grpc_status(&format!("{field}.grpcStatus"), text)?),
                None => None,
            };
            if http_status.is_some() == grpc_status.is_some() {
                self.findings
                    .error(&field, "one of httpStatus, grpcStatus is needed");
                return None;
            }
            Some(Abort {
                http_status,
                grpc_status,
                share,
            })
        });
        if written.delay.is_none() && written.abort.is_none() {
            self.findings.error(field, "one of delay, abort is needed");
        }
        (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort })
    }

    /// How many requests a fault is for: none, unless said otherwise.
    fn share(
        &mut self,
        field: &str,
        percentage: Option<&istio::Percent>,
        deprecated: Option<f64>,
    ) -> PerMillion {
        match (percentage, deprecated) {
            (Some(percent), _) => {
                let at = format!("{field}.percentage.value");
                self.findings.percent(&at, percent.value)
            }
            (None, Some(percent)) => self.findings.percent(&format!("{field}.percent"), percent),
            (None, None) => {
                self.findings
                    .warn(field, "is for no request: percentage is missing");
                self.findings.advise("add percentage: {value: 100}");
                PerMillion::default()
            }
        }
    }

    fn grpc_status(&mut self, field: &str, text: &str) -> Option<u32> {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        let code = NAMES.iter().position(|name| *name == text);
        let code = code.or_else(|| text.parse().ok().filter(|code| *code < NAMES.len()));
        if code.is_none() {
            self.findings
                .error(field, format!("{text:?} is no gRPC status"));
            self.findings.advise("write its name, such as UNAVAILABLE");
        }
        code.and_then(|code| u32::try_from(code).ok())
    }

    fn mirrors(&mut self, field: &str, written: &istio::HttpRoute) -> Vec<Mirror> {
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

    fn cors(&mut self, field: &str, written: &istio::CorsPolicy) -> CorsPolicy {
        let plain = written.allow_origin.iter().map(|origin| match &**origin {
            "*" => Pattern::Prefix(String::new()),
            origin => Pattern::Exact(origin.into()),
        });
        let mut allow_origins: Vec<_> = plain.collect();
        for (field, origin) in each(&written.allow_origins, &format!("{field}.allowOrigins")) {
            allow_origins.extend(self.text(&field, Some(origin)));
        }
        CorsPolicy {
            allow_origins,
            allow_methods: written.allow_methods.clone(),
            allow_headers: written.allow_headers.clone(),
            expose_headers: written.expose_headers.clone(),
            max_age: written.max_age.map(|span| span.0),
            allow_credentials: written.allow_credentials,
            forward_unmatched_preflights: written.unmatched_preflights
                != UnmatchedPreflights::Ignore,
        }
    }

    fn headers(&mut self, field: &str, written: &istio::Headers) -> HeaderEdits {
        let mut pairs = |field: String, pairs: &BTreeMap<String, String>| -> Vec<_> {
            for name in pairs.keys() {
                if !is_header_name(name.strip_prefix(':').unwrap_or(name)) {
                    let at = format!("{field}.{name}");
                    self.findings
                        .error(&at, format!("{name:?} is no header name"));
                }
            }
            pairs.clone().into_iter().collect()
        };
        HeaderEdits {
            request_set: pairs(format!("{field}.request.set"), &written.request.set),
            request_add: pairs(format!("{field}.request.add"), &written.request.add),
            request_remove: written.request.remove.clone(),
            response_set: pairs(format!("{field}.response.set"), &written.response.set),
            response_add: pairs(format!("{field}.response.add"), &written.response.add),
            response_remove: written.response.remove.clone(),
        }
    }

    fn tls_rule(&mut self, field: String, written: &istio::TlsRoute) -> TlsRule {
        if written.matches.is_empty() {
            self.findings
                .error(&format!("{field}.match"), "at least one match is needed");
        }
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| {
                let names = format!("{field}.sniHosts");
                if written.sni_hosts.is_empty() {
                    self.findings.error(&names, "at least one name is needed");
                }
                TlsMatch {
                    server_names: each(&written.sni_hosts, &names)
                        .filter_map(|(field, name)| self.findings.host(&field, name))
                        .collect(),
                    connection: L4Match {
                        destinations: self.findings.networks(
                            &format!("{field}.destinationSubnets"),
                            &written.destination_subnets,
                        ),
                        port: written.port,
                        client: self.client(
                            &written.gateways,
                            &written.source_labels,
                            &written.source_namespace,
                        ),
                    },
                }
            })
            .collect();
        TlsRule {
            matches,
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            field,
        }
    }

    fn tcp_rule(&mut self, field: String, written: &istio::TcpRoute) -> TcpRule {
        let matches = each(&written.matches, &format!("{field}.match"))
            .map(|(field, written)| L4Match {
                destinations: self.findings.networks(
                    &format!("{field}.destinationSubnets"),
                    &written.destination_subnets,
                ),
                port: written.port,
                client: self.client(
                    &written.gateways,
                    &written.source_labels,
                    &written.source_namespace,
                ),
            })
            .collect();
        TcpRule {
            matches,
            destinations: self.destinations(&format!("{field}.route"), &written.route),
            field,
        }
    }

    /// Rules after one that takes everything never come into play.
    fn unreachable(&mut self, rules: &[HttpRule]) {
        let Some(last) = rules.iter().position(HttpRule::is_catch_all) else {
            return;
        };
        for rule in &rules[last + 1..] {
            let reason = format!(
                "is never reached: {} takes every request",
                rules[last].field
            );
            self.findings.warn(&rule.field, reason);
        }
    }
}

/// What a retry policy means, of a route or of the whole mesh.
pub(in crate::mesh) fn retry_policy(
    field: &str,
    written: &istio::Retries,
    findings: &mut Findings<'_>,
) -> RetryPolicy {
    let mut policy = RetryPolicy {
        attempts: u32::try_from(written.attempts).unwrap_or(0),
        per_try_timeout: written.per_try_timeout.map(|span| span.0),
        retry_on: Vec::new(),
        statuses: Vec::new(),
        remote_localities: written.retry_remote_localities.unwrap_or(false),
        ignore_previous_hosts: written.retry_ignore_previous_hosts.unwrap_or(true),
        backoff: written.backoff.map(|span| span.0),
    };
    let conditions = written.retry_on.split(',').map(str::trim);
    for condition in conditions.filter(|condition| !condition.is_empty()) {
        match condition.parse::<u16>() {
            Ok(status) if (100..600).contains(&status) => policy.statuses.push(status),
            _ if RETRY_CONDITIONS.contains(&condition) => policy.retry_on.push(condition.into()),
            _ => {
                let at = format!("{field}.retryOn");
                findings.error(&at, format!("{condition:?} is no condition or status"));
                findings.advise(format!("possible are {}", RETRY_CONDITIONS.join(", ")));
            }
        }
    }
    policy
}

/// Envoy's conditions (`x-envoy-retry-on` and `x-envoy-retry-grpc-on`).
const RETRY_CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// RFC 9110, section 5.1.
fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

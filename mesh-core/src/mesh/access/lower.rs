//! From the written AuthorizationPolicy to what it means.

use std::sync::Arc;

use super::{
    AccessAction, AccessCondition, AccessOperation, AccessPolicy, AccessRule, AccessSource,
    MAX_ACCESS_RULES, Values,
    pattern::{path_template, pattern},
};
use crate::{
    config::{
        Problem, Resource,
        istio::{self, AuthorizationAction},
    },
    mesh::{attachment::Audience, findings::Findings},
    name::{IpNetwork, Pattern},
};

/// What an AuthorizationPolicy means. A broken one is kept, so that what it was to deny does not
/// pass.
pub(in crate::mesh) fn access_policy(
    resource: &Resource,
    written: &istio::AuthorizationPolicy,
) -> (Option<AccessPolicy>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
    };
    let provider = written.provider.as_ref().map(|provider| &*provider.name);
    let action = match (written.action, provider) {
        (AuthorizationAction::Allow, _) => AccessAction::Allow,
        (AuthorizationAction::Deny, _) => AccessAction::Deny,
        (AuthorizationAction::Audit, _) => AccessAction::Audit,
        (AuthorizationAction::Custom, Some(provider)) => AccessAction::Custom(provider.into()),
        (AuthorizationAction::Custom, None) => {
            lower
                .findings
                .error("spec.provider", "CUSTOM needs a provider");
            AccessAction::Deny
        }
    };
    if written.rules.len() > MAX_ACCESS_RULES {
        let reason = format!("more than {MAX_ACCESS_RULES} rules");
        lower.findings.error("spec.rules", reason);
    }
    if written.rules.is_empty() && matches!(action, AccessAction::Deny | AccessAction::Audit) {
        lower
            .findings
            .error("spec.rules", "is missing: nothing would ever match");
        lower.findings.advise("rules: [{}] matches everything");
    }
    let audience = Audience::read(
        &mut lower.findings,
        written.selector.as_ref(),
        written.target_ref.as_ref(),
        &written.target_refs,
    );
    let rules = written.rules.iter().take(MAX_ACCESS_RULES).enumerate();
    let rules = rules.map(|(i, rule)| lower.rule(&format!("spec.rules[{i}]"), rule));
    let rules = rules.collect();
    let annotations = &resource.metadata.annotations;
    let dry_run = annotations.get("istio.io/dry-run").map(String::as_str);
    let effect = match action {
        AccessAction::Allow => "until it is mended it counts, but allows nothing",
        AccessAction::Audit => "until it is mended it marks nothing",
        AccessAction::Deny | AccessAction::Custom(_) => {
            "until it is mended everything is denied at the workloads it is for"
        }
    };
    let (is_broken, problems) = lower.findings.fail_closed(effect);
    let policy = AccessPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        audience,
        rules: match (is_broken, &action) {
            (false, _) => rules,
            (true, AccessAction::Allow | AccessAction::Audit) => Vec::new(),
            (true, AccessAction::Deny | AccessAction::Custom(_)) => vec![AccessRule::default()],
        },
        action,
        is_dry_run: dry_run == Some("true"),
        is_broken,
    };
    (Some(policy), problems)
}

struct Lower<'a> {
    findings: Findings<'a>,
}

impl Lower<'_> {
    fn rule(&mut self, field: &str, written: &istio::AuthorizationRule) -> AccessRule {
        let from = written
            .from
            .iter()
            .enumerate()
            .map(|(i, from)| self.source(&format!("{field}.from[{i}].source"), &from.source));
        let from = from.collect();
        let to =
            written.to.iter().enumerate().map(|(i, to)| {
                self.operation(&format!("{field}.to[{i}].operation"), &to.operation)
            });
        let to = to.collect();
        let when = written.when.iter().enumerate();
        let when = when
            .filter_map(|(i, when)| self.condition(&format!("{field}.when[{i}]"), when))
            .collect();
        AccessRule { from, to, when }
    }

    fn source(&mut self, field: &str, written: &istio::Source) -> AccessSource {
        if *written == istio::Source::default() {
            self.findings.error(field, "asks for nothing");
            self.findings.advise("leave from away to mean anyone");
        }
        let w = written;
        AccessSource {
            principals: patterns(&w.principals, &w.not_principals),
            request_principals: patterns(&w.request_principals, &w.not_request_principals),
            namespaces: patterns(&w.namespaces, &w.not_namespaces),
            service_accounts: self.service_accounts(
                &format!("{field}.serviceAccounts"),
                &w.service_accounts,
                &w.not_service_accounts,
            ),
            trust_domains: patterns(&w.trust_domains, &w.not_trust_domains),
            ip_blocks: self.networks(field, "ipBlocks", &w.ip_blocks, &w.not_ip_blocks),
            remote_ip_blocks: self.networks(
                field,
                "remoteIpBlocks",
                &w.remote_ip_blocks,
                &w.not_remote_ip_blocks,
            ),
        }
    }

    fn operation(&mut self, field: &str, written: &istio::Operation) -> AccessOperation {
        if *written == istio::Operation::default() {
            self.findings.error(field, "asks for nothing");
            self.findings.advise("leave to away to mean anything");
        }
        AccessOperation {
            hosts: patterns(&written.hosts, &written.not_hosts),
            ports: self.ports(
                &format!("{field}.ports"),
                &written.ports,
                &written.not_ports,
            ),
            methods: patterns(&written.methods, &written.not_methods),
            paths: Values {
                any: self.paths(&format!("{field}.paths"), &written.paths),
                none: self.paths(&format!("{field}.notPaths"), &written.not_paths),
            },
        }
    }

    fn condition(&mut self, field: &str, written: &istio::Condition) -> Option<AccessCondition> {
        if written.values.is_empty() && written.not_values.is_empty() {
            self.findings
                .error(field, "one of values, notValues is needed");
        }
        let (values, not_values) = (&written.values, &written.not_values);
        let texts = || patterns(values, not_values);
        let at = format!("{field}.values");
        Some(match split_key(&written.key) {
            ("request.headers", Some(name)) => {
                AccessCondition::Header(name.first()?.to_ascii_lowercase(), texts())
            }
            ("request.auth.claims", Some(path)) => AccessCondition::RequestClaim(path, texts()),
            ("source.ip", None) => {
                AccessCondition::SourceIp(self.networks(field, "values", values, not_values))
            }
            ("remote.ip", None) => {
                AccessCondition::RemoteIp(self.networks(field, "values", values, not_values))
            }
            ("destination.ip", None) => {
                AccessCondition::DestinationIp(self.networks(field, "values", values, not_values))
            }
            ("destination.port", None) => {
                AccessCondition::DestinationPort(self.ports(&at, values, not_values))
            }
            ("source.namespace", None) => AccessCondition::SourceNamespace(texts()),
            ("source.principal", None) => AccessCondition::SourcePrincipal(texts()),
            ("source.serviceAccount", None) => AccessCondition::SourceServiceAccount(
                self.service_accounts(&at, values, not_values),
            ),
            ("source.trustDomain", None) => AccessCondition::SourceTrustDomain(texts()),
            ("request.auth.principal", None) => AccessCondition::RequestPrincipal(texts()),
            ("request.auth.audiences", None) => AccessCondition::RequestAudiences(texts()),
            ("request.auth.presenter", None) => AccessCondition::RequestPresenter(texts()),
            ("connection.sni", None) => AccessCondition::ServerName(texts()),
            _ => {
                let at = format!("{field}.key");
                self.findings
                    .error(&at, format!("unknown attribute {:?}", written.key));
                self.findings.advise(
                    "possible are request.headers[name], source.ip, source.namespace, \
                     source.principal, destination.port, connection.sni, ...",
                );
                return None;
            }
        })
    }

    fn networks(
        &mut self,
        field: &str,
        name: &str,
        any: &[String],
        none: &[String],
    ) -> Values<IpNetwork> {
        let mut capital = name.to_owned();
        capital[..1].make_ascii_uppercase();
        Values {
            any: self.findings.networks(&format!("{field}.{name}"), any),
            none: self
                .findings
                .networks(&format!("{field}.not{capital}"), none),
        }
    }

    fn ports(&mut self, field: &str, any: &[String], none: &[String]) -> Values<u16> {
        let mut ports = |texts: &[String]| {
            let ports = texts.iter().filter_map(|text| match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    self.findings.error(field, format!("{text:?} is no port"));
                    None
                }
            });
            ports.collect()
        };
        Values {
            any: ports(any),
            none: ports(none),
        }
    }

    /// `name` means one of the policy's own namespace.
    fn service_accounts(
        &mut self,
        field: &str,
        any: &[String],
        none: &[String],
    ) -> Values<Arc<str>> {
        let namespace = self.findings.reference().namespace.clone();
        let mut full = |texts: &[String]| -> Vec<Arc<str>> {
            for text in texts.iter().filter(|text| text.contains('*')) {
                self.findings
                    .error(field, format!("{text:?}: wildcards are not allowed here"));
            }
            let full = texts.iter().map(|text| match text.contains('/') {
                true => (&**text).into(),
                false => format!("{namespace}/{text}").into(),
            });
            full.collect()
        };
        Values {
            any: full(any),
            none: full(none),
        }
    }

    fn paths(&mut self, field: &str, texts: &[String]) -> Vec<Pattern> {
        let mut paths = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            match path_template(text) {
                Some(template) => {
                    paths.extend(self.findings.pattern(&format!("{field}[{i}]"), template));
                }
                None => paths.push(pattern(text)),
            }
        }
        paths
    }
}

fn patterns(any: &[String], none: &[String]) -> Values<Pattern> {
    let read = |texts: &[String]| texts.iter().map(|text| pattern(text)).collect();
    Values {
        any: read(any),
        none: read(none),
    }
}

/// `request.auth.claims[a][b]` to its name and path.
fn split_key(key: &str) -> (&str, Option<Vec<String>>) {
    let Some((name, path)) = key.split_once('[') else {
        return (key, None);
    };
    let Some(path) = path.strip_suffix(']').filter(|path| !path.is_empty()) else {
        return (key, None);
    };
    (name, Some(path.split("][").map(str::to_owned).collect()))
}

//! How many requests workloads take: what RateLimits mean.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::findings::Findings;
use crate::{
    config::{
        Problem, Resource, Source,
        own::{self, LimitMode},
    },
    name::{Labels, Pattern, ResourceRef, Selector},
};

/// The most limits of one RateLimit.
pub const MAX_LIMITS: usize = 64;

/// Headers that say where an answer ends and how its connection goes on.
const FRAMING: [&str; 6] = [
    "connection",
    "content-length",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// The most keys of one limit.
pub const MAX_LIMIT_KEYS: usize = 8;
/// The longest span a limit counts over: 31 days.
pub const MAX_LIMIT_SPAN: Duration = Duration::from_secs(31 * 24 * 3600);

/// What a RateLimit means.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimitPolicy {
    /// The RateLimit.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The workloads; none for all of the namespace, or of the mesh in the root namespace.
    pub selector: Option<Selector>,
    /// Requests beyond a limit pass, and it is only told.
    pub is_dry_run: bool,
    /// The status of the answer to a request beyond a limit.
    pub status: u16,
    /// Headers of that answer.
    pub headers: BTreeMap<String, String>,
    /// Say nothing of limits in headers.
    pub hides_limits: bool,
    /// Each is asked.
    pub limits: Vec<LimitRule>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitRule {
    /// How it is called.
    pub name: Arc<str>,
    /// The requests it is for; empty for all.
    pub matches: Vec<LimitMatch>,
    /// How many requests in a span of time.
    pub requests: u32,
    /// The span of time, longer than zero.
    pub per: Duration,
    /// How many may come at once after a pause, at least one unless `requests` is zero.
    pub burst: u32,
    /// Counted anew for each span.
    pub is_quota: bool,
    /// What has a count of its own.
    pub keys: Vec<LimitKey>,
    /// Among whom each count is divided fairly.
    pub fair_share: Option<LimitKey>,
    /// From the most to the least important.
    pub priorities: Vec<LimitPriority>,
}

/// What has a count of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The caller's proven identity.
    Identity,
    /// The caller's address as trusted hops tell it.
    RemoteAddress,
    /// The path without its query.
    Path,
    /// The method.
    Method,
    /// A header, by name in lower case.
    Header(Arc<str>),
    /// A claim of the verified token, by its path.
    Claim(Vec<String>),
}

/// Requests: every part must agree, empty ones ask for nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LimitMatch {
    /// Methods.
    pub methods: Vec<String>,
    /// Hosts in lower case.
    pub hosts: Vec<Pattern>,
    /// Paths without their query.
    pub paths: Vec<Pattern>,
    /// Headers by name in lower case, and what their value must be.
    pub headers: Vec<(Arc<str>, Option<Pattern>)>,
    /// Proven identities without scheme.
    pub identities: Vec<Pattern>,
}

/// Requests of one importance.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitPriority {
    /// Its name.
    pub name: Arc<str>,
    /// The requests; empty for all.
    pub matches: Vec<LimitMatch>,
    /// The percentage of the burst that they leave to more important ones, 0 to 100.
    pub leaves: u8,
}

impl RateLimitPolicy {
    /// Whether it is for a workload.
    pub(super) fn is_for(&self, root: &str, namespace: &str, labels: &Labels) -> bool {
        let of = &*self.reference.namespace;
        let selector = self.selector.as_ref();
        (of == root || of == namespace) && selector.is_none_or(|selector| selector.matches(labels))
    }
}

/// What a RateLimit means.
pub(super) fn rate_limit_policy(
    resource: &Resource,
    written: &own::RateLimit,
) -> (Option<RateLimitPolicy>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let selector = written.selector.as_ref().map(|s| s.match_labels.clone());
    let status = written.response.status.unwrap_or(429);
    if !(400..600).contains(&status) {
        findings.error("spec.response.status", format!("{status} is no error"));
        findings.advise("429 is what callers understand");
    }
    for (name, value) in &written.response.headers {
        let good = is_token(name) && value.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
        if !good {
            let reason = "is no header that can be sent";
            findings.error(&format!("spec.response.headers.{name}"), reason);
        }
        if FRAMING
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing))
        {
            let reason = "is written by the proxy alone";
            findings.error(&format!("spec.response.headers.{name}"), reason);
        }
    }
    if written.limits.is_empty() {
        findings.warn("spec.limits", "there are none: nothing is limited");
    }
    if written.limits.len() > MAX_LIMITS {
        findings.error("spec.limits", format!("at most {MAX_LIMITS}"));
    }
    let limits = written.limits.iter().enumerate().take(MAX_LIMITS);
    let limits = limits
        .map(|(i, limit)| lower_limit(&mut findings, i, limit))
        .collect();
    findings.conclude(RateLimitPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        selector: selector.filter(|selector| !selector.is_empty()),
        is_dry_run: written.mode == LimitMode::DryRun,
        status,
        headers: written.response.headers.clone(),
        hides_limits: written.response.hide_limits,
        limits,
    })
}

fn lower_limit(findings: &mut Findings<'_>, i: usize, written: &own::Limit) -> LimitRule {
    let field = format!("spec.limits[{i}]");
    let requests = written.requests.unwrap_or_else(|| {
        findings.error(&format!("{field}.requests"), "is missing");
        0
    });
    let per = written.per.map_or(Duration::from_secs(1), |per| per.0);
    if per.is_zero() || per > MAX_LIMIT_SPAN {
        findings.error(
            &format!("{field}.per"),
            "must be longer than 0s, at most 31 days",
        );
    }
    let burst = written.burst.unwrap_or(requests);
    if (burst == 0) != (requests == 0) {
        let reason = "requests and burst are zero together or not at all";
        findings.error(&format!("{field}.burst"), reason);
    }
    if written.quota && written.burst.is_some_and(|burst| burst != requests) {
        findings.error(&format!("{field}.burst"), "a quota has no burst of its own");
    }
    if written.keys.len() > MAX_LIMIT_KEYS {
        findings.error(
            &format!("{field}.keys"),
            format!("at most {MAX_LIMIT_KEYS}"),
        );
    }
    let keys = written.keys.iter().enumerate();
    let keys = keys
        .filter_map(|(k, key)| lower_key(findings, &format!("{field}.keys[{k}]"), key))
        .collect();
    let fair_share = written.fair_share.as_ref();
    let fair_share =
        fair_share.and_then(|key| lower_key(findings, &format!("{field}.fairShare"), key));
    let mut leaves_before = 0;
    let priorities = written.priorities.iter().enumerate().map(|(k, class)| {
        let field = format!("{field}.priorities[{k}]");
        let leaves = u8::try_from(class.leaves).unwrap_or(u8::MAX);
        if leaves > 100 || leaves < leaves_before {
            let reason = "must be a percentage, and no less than that of a more important class";
            findings.error(&format!("{field}.leaves"), reason);
        }
        leaves_before = leaves;
        LimitPriority {
            name: class.name.as_str().into(),
            matches: lower_matches(findings, &field, &class.matches),
            leaves: leaves.min(100),
        }
    });
    let priorities = priorities.collect();
    LimitRule {
        name: match &*written.name {
            "" => i.to_string().into(),
            name => name.into(),
        },
        matches: lower_matches(findings, &field, &written.matches),
        requests,
        per,
        burst,
        is_quota: written.quota,
        keys,
        fair_share,
        priorities,
    }
}

fn lower_key(
    findings: &mut Findings<'_>,
    field: &str,
    written: &own::LimitKey,
) -> Option<LimitKey> {
    let header = written.header.as_ref();
    if header.is_some_and(|name| !is_token(name)) {
        findings.error(&format!("{field}.header"), "is no name of a header");
        return None;
    }
    let claim = (!written.claim.is_empty()).then(|| LimitKey::Claim(written.claim.clone()));
    let header = header.map(|name| LimitKey::Header(name.to_ascii_lowercase().into()));
    let kinds = [
        written.identity.then_some(LimitKey::Identity),
        written.remote_address.then_some(LimitKey::RemoteAddress),
        written.path.then_some(LimitKey::Path),
        written.method.then_some(LimitKey::Method),
        header,
        claim,
    ];
    let mut kinds = kinds.into_iter().flatten();
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Some(kind),
        _ => {
            let reason =
                "needs exactly one of identity, remoteAddress, path, method, header, claim";
            findings.error(field, reason);
            None
        }
    }
}

fn lower_matches(
    findings: &mut Findings<'_>,
    field: &str,
    written: &[own::LimitMatch],
) -> Vec<LimitMatch> {
    let each = written.iter().enumerate();
    each.map(|(m, written)| {
        let field = format!("{field}.match[{m}]");
        let mut texts = |part: &str, texts: &[own::TextMatch]| {
            let each = texts.iter().enumerate();
            each.filter_map(|(t, text)| lower_text(findings, &format!("{field}.{part}[{t}]"), text))
                .collect::<Vec<_>>()
        };
        let hosts = texts("hosts", &written.hosts);
        let paths = texts("paths", &written.paths);
        let identities = texts("identities", &written.identities);
        let headers = written
            .headers
            .iter()
            .enumerate()
            .filter_map(|(h, header)| {
                let field = format!("{field}.headers[{h}]");
                if !is_token(&header.name) {
                    findings.error(&format!("{field}.name"), "is no name of a header");
                    return None;
                }
                let value = match &header.value {
                    None => None,
                    Some(value) => Some(lower_text(findings, &format!("{field}.value"), value)?),
                };
                Some((header.name.to_ascii_lowercase().into(), value))
            });
        LimitMatch {
            methods: written.methods.clone(),
            headers: headers.collect(),
            hosts,
            paths,
            identities,
        }
    })
    .collect()
}

fn lower_text(
    findings: &mut Findings<'_>,
    field: &str,
    written: &own::TextMatch,
) -> Option<Pattern> {
    let kinds = [
        written.exact.clone().map(Pattern::Exact),
        written.prefix.clone().map(Pattern::Prefix),
        written.suffix.clone().map(Pattern::Suffix),
        written.regex.clone().map(Pattern::Regex),
    ];
    let mut kinds = kinds.into_iter().flatten();
    match (kinds.next(), kinds.next()) {
        (Some(pattern), None) => findings.pattern(field, pattern),
        _ => {
            findings.error(field, "needs exactly one of exact, prefix, suffix, regex");
            None
        }
    }
}

/// Whether a text can be the name of a header (RFC 9110, section 5.6.2).
fn is_token(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(good)
}

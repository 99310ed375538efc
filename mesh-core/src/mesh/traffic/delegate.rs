//! Rules that leave the decision to another VirtualService, one level deep.
//!
//! What is merged is what was written, as Istio does it: each rule of the delegate takes over what
//! it does not say itself from the rule that delegates, and its conditions must be part of that
//! rule's. A rule that reaches further is left out and reported, so that nobody answers for
//! requests that were not handed over.

use std::{collections::BTreeMap, sync::Arc};

use super::{HttpRule, TrafficRules, lower};
use crate::{
    config::{
        Problem, Resource, Severity,
        istio::{HttpMatch, HttpRoute, StringMatch, VirtualService},
    },
    mesh::MeshDefaults,
    name::Labels,
};

/// What a VirtualService means before the rules of its delegates have joined it.
#[derive(Debug, Clone)]
pub(in crate::mesh) struct Draft {
    /// What it says itself.
    pub(in crate::mesh) rules: Arc<TrafficRules>,
    /// What it leaves to others, in order.
    pub(in crate::mesh) delegations: Arc<[Delegation]>,
}

/// A rule that leaves the decision to another VirtualService.
#[derive(Debug, Clone)]
pub(in crate::mesh) struct Delegation {
    /// Before which of the draft's own rules it stands.
    pub(in crate::mesh) before: usize,
    /// Its place: `spec.http[2]`.
    pub(in crate::mesh) field: String,
    /// Namespace and name of the delegate.
    pub(in crate::mesh) to: (Arc<str>, Arc<str>),
    /// The rule as written, its names such as they mean the same in any namespace.
    pub(in crate::mesh) route: HttpRoute,
}

/// A VirtualService that others may delegate to.
#[derive(Debug, Clone, Copy)]
pub(in crate::mesh) struct Delegate<'a> {
    pub(in crate::mesh) resource: &'a Resource,
    pub(in crate::mesh) written: &'a VirtualService,
    pub(in crate::mesh) rules: &'a TrafficRules,
}

impl Draft {
    /// Whether it is for others to delegate to, and in effect nowhere by itself.
    pub(in crate::mesh) fn is_delegate(&self) -> bool {
        self.rules.hosts.is_empty()
    }

    /// The rules with those of the delegates in their places. A delegate that is not there leaves
    /// its place empty, so that the next rule decides.
    pub(in crate::mesh) fn complete<'a>(
        self,
        resource: &Resource,
        defaults: &MeshDefaults,
        find: impl Fn(&str, &str) -> Option<Delegate<'a>>,
    ) -> (Arc<TrafficRules>, Vec<Problem>) {
        let mut problems = Vec::new();
        if self.delegations.is_empty() {
            return (self.rules, problems);
        }
        let mut rules = TrafficRules::clone(&self.rules);
        let mut own = std::mem::take(&mut rules.http).into_iter();
        let mut taken = 0;
        for delegation in self.delegations.iter() {
            rules
                .http
                .extend(own.by_ref().take(delegation.before - taken));
            taken = delegation.before;
            let (namespace, name) = &delegation.to;
            let field = format!("{}.delegate", delegation.field);
            let mut missing = |reason: String| {
                problems.push(
                    resource
                        .problem(Severity::Warning, &field, reason)
                        .advise("until then the next rule decides"),
                );
            };
            match find(namespace, name) {
                None => missing(format!(
                    "no VirtualService {namespace}/{name} without hosts, which could decide"
                )),
                Some(found) if !found.rules.exports.reach(&rules.reference.namespace) => {
                    let here = &rules.reference.namespace;
                    missing(format!("{namespace}/{name} is not exported to {here}"));
                }
                Some(found) => {
                    let (joined, more) = join(resource, delegation, found, defaults);
                    rules.http.extend(joined);
                    problems.extend(more);
                }
            }
        }
        rules.http.extend(own);
        (Arc::new(rules), problems)
    }
}

/// The rules of a delegate, as far as they were handed over.
fn join(
    root: &Resource,
    delegation: &Delegation,
    delegate: Delegate<'_>,
    defaults: &MeshDefaults,
) -> (Vec<HttpRule>, Vec<Problem>) {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    for (i, leaf) in delegate.written.http.iter().enumerate() {
        let field = format!("spec.http[{i}]");
        let place = (&root.reference, &delegation.field);
        let mut left_out = |at: &str, reason: String| {
            problems.push(delegate.resource.problem(Severity::Warning, at, reason));
        };
        let Some(merged) = merge(&delegation.route, leaf) else {
            let reason = format!(
                "is left out: it is not a part of what {} hands over at {}.match",
                place.0, place.1
            );
            left_out(&format!("{field}.match"), reason);
            continue;
        };
        let (rule, found) = lower::delegated_rule(delegate.resource, &field, &merged, defaults);
        match (rule, found.into_iter().find(Problem::is_error)) {
            (Some(rule), None) => rules.push(HttpRule {
                origin: Some(delegate.resource.reference.clone()),
                ..rule
            }),
            (_, wrong) => {
                let why = wrong.map(|problem| problem.reason).unwrap_or_default();
                let reason = format!(
                    "is left out: together with {} of {} it means nothing: {why}",
                    place.1, place.0
                );
                left_out(&field, reason);
            }
        }
    }
    (rules, problems)
}

/// A delegate's rule with what it inherits. None if it is for requests the root does not hand over.
fn merge(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let mut merged = leaf.clone();
    merged.matches = merge_matches(&root.matches, &leaf.matches)?;
    merged.name = joined(&root.name, &leaf.name);
    let inherit = |own: bool| !own;
    if inherit(leaf.direct_response.is_some()) && leaf.route.is_empty() && leaf.redirect.is_none() {
        merged.direct_response = root.direct_response.clone();
    }
    merged.rewrite = leaf.rewrite.clone().or_else(|| root.rewrite.clone());
    merged.timeout = leaf.timeout.or(root.timeout);
    merged.retries = leaf.retries.clone().or_else(|| root.retries.clone());
    merged.fault = leaf.fault.clone().or_else(|| root.fault.clone());
    merged.cors_policy = leaf
        .cors_policy
        .clone()
        .or_else(|| root.cors_policy.clone());
    if leaf.mirror.is_none() {
        merged.mirror = root.mirror.clone();
    }
    merged.mirror_percent = leaf.mirror_percent.or(root.mirror_percent);
    if leaf.mirror_percentage.is_none() {
        merged.mirror_percentage = root.mirror_percentage.clone();
    }
    if leaf.mirrors.is_empty() {
        merged.mirrors = root.mirrors.clone();
    }
    if leaf.headers == Default::default() {
        merged.headers = root.headers.clone();
    }
    Some(merged)
}

/// `root-leaf`, or the one of both that there is.
fn joined(root: &str, leaf: &str) -> String {
    match (root, leaf) {
        ("", name) | (name, "") => name.into(),
        (root, leaf) => format!("{root}-{leaf}"),
    }
}

/// Every condition of the leaf within every one of the root's that covers it. None if one of the
/// leaf's is covered by none.
fn merge_matches(root: &[HttpMatch], leaf: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || leaf.is_empty() {
        return Some(if root.is_empty() { leaf } else { root }.to_vec());
    }
    let mut merged = Vec::new();
    for leaf in leaf {
        let before = merged.len();
        let covering = root.iter().filter(|root| covers(root, leaf));
        merged.extend(covering.map(|root| merge_match(root, leaf)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn merge_match(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let text = |leaf: &Option<StringMatch>, root: &Option<StringMatch>| {
        leaf.clone().or_else(|| root.clone())
    };
    let word = |leaf: &str, root: &str| String::from(if leaf.is_empty() { root } else { leaf });
    HttpMatch {
        name: joined(&root.name, &leaf.name),
        uri: text(&leaf.uri, &root.uri),
        scheme: text(&leaf.scheme, &root.scheme),
        method: text(&leaf.method, &root.method),
        authority: text(&leaf.authority, &root.authority),
        headers: both(&root.headers, &leaf.headers),
        without_headers: both(&root.without_headers, &leaf.without_headers),
        query_params: both(&root.query_params, &leaf.query_params),
        port: leaf.port.or(root.port),
        source_labels: root
            .source_labels
            .iter()
            .chain(leaf.source_labels.iter())
            .collect(),
        gateways: match leaf.gateways.is_empty() {
            true => root.gateways.clone(),
            false => leaf.gateways.clone(),
        },
        ignore_uri_case: leaf.ignore_uri_case,
        source_namespace: word(&leaf.source_namespace, &root.source_namespace),
        stat_prefix: word(&leaf.stat_prefix, &root.stat_prefix),
    }
}

/// The conditions of both; the leaf's where both speak of one name.
fn both(
    root: &BTreeMap<String, StringMatch>,
    leaf: &BTreeMap<String, StringMatch>,
) -> BTreeMap<String, StringMatch> {
    let mut all = root.clone();
    all.extend(leaf.clone());
    all
}

/// Whether what the leaf asks for lies within what the root asks for.
fn covers(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let maps = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ];
    let mut named = maps.into_iter().flat_map(|(root, leaf)| {
        let each = leaf.iter();
        each.map(|(name, leaf)| (root.get(name), Some(leaf)))
    });
    let same_case = root.ignore_uri_case == leaf.ignore_uri_case;
    let port = root.port.is_none() || leaf.port.is_none() || root.port == leaf.port;
    let namespace = leaf.source_namespace.is_empty()
        || root.source_namespace.is_empty()
        || root.source_namespace == leaf.source_namespace;
    let gateways = root.gateways.is_empty()
        || leaf
            .gateways
            .iter()
            .all(|name| root.gateways.contains(name));
    same_case
        && port
        && namespace
        && gateways
        && agree(&root.source_labels, &leaf.source_labels)
        && texts
            .iter()
            .all(|(root, leaf)| text_covers(root.as_ref(), leaf.as_ref()))
        && named.all(|(root, leaf)| text_covers(root, leaf))
}

fn agree(root: &Labels, leaf: &Labels) -> bool {
    let mut each = leaf.iter();
    each.all(|(key, value)| root.value(key).is_none_or(|of_root| of_root == value))
}

/// Whether texts that fit the leaf's condition fit the root's. Of regular expressions nobody can
/// tell: two conditions of which one is such do not fit.
fn text_covers(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else {
        return true;
    };
    match (root, leaf) {
        (StringMatch { regex: Some(_), .. }, _) | (_, StringMatch { regex: Some(_), .. }) => false,
        (
            StringMatch {
                exact: Some(root), ..
            },
            leaf,
        ) => leaf.exact.as_ref() == Some(root),
        (
            StringMatch {
                prefix: Some(root), ..
            },
            leaf,
        ) => {
            let leaf = leaf.exact.as_ref().or(leaf.prefix.as_ref());
            leaf.is_some_and(|leaf| leaf.starts_with(&**root))
        }
        // The root asks for presence only, which any condition of the leaf implies.
        _ => true,
    }
}

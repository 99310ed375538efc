//! How many requests the workload takes, as filters of its connections.

use super::view::View;
use crate::{
    dataplane::{
        HttpFilter, LimitKey, LimitMatch, LimitPriority, Origin, RateLimit, RateLimitFilter,
    },
    mesh,
};

/// One filter for each policy in effect, oldest first.
pub(super) fn in_effect(view: &View<'_>) -> Vec<HttpFilter> {
    let node = view.node;
    let policies = view.mesh.rate_limits(&node.namespace, &node.labels);
    let policies = policies.filter(|policy| !policy.limits.is_empty());
    policies
        .map(|policy| HttpFilter::RateLimit(filter(policy)))
        .collect()
}

fn filter(policy: &mesh::RateLimitPolicy) -> RateLimitFilter {
    RateLimitFilter {
        limits: policy.limits.iter().map(limit).collect(),
        origin: Some(Origin::of(policy.reference.clone())),
        is_dry_run: policy.is_dry_run,
        status: policy.status,
        headers: policy.headers.clone(),
        hides_limits: policy.hides_limits,
    }
}

fn limit(limit: &mesh::LimitRule) -> RateLimit {
    RateLimit {
        name: (*limit.name).into(),
        matches: limit.matches.iter().map(matches).collect(),
        requests: limit.requests,
        per: limit.per,
        burst: limit.burst,
        is_quota: limit.is_quota,
        keys: limit.keys.iter().map(key).collect(),
        fair_share: limit.fair_share.as_ref().map(key),
        priorities: limit.priorities.iter().map(priority).collect(),
    }
}

fn key(key: &mesh::LimitKey) -> LimitKey {
    match key {
        mesh::LimitKey::Identity => LimitKey::Identity,
        mesh::LimitKey::RemoteAddress => LimitKey::RemoteAddress,
        mesh::LimitKey::Path => LimitKey::Path,
        mesh::LimitKey::Method => LimitKey::Method,
        mesh::LimitKey::Header(name) => LimitKey::Header(name.to_string()),
        mesh::LimitKey::Claim(path) => LimitKey::Claim(path.clone()),
    }
}

fn matches(found: &mesh::LimitMatch) -> LimitMatch {
    let headers = found.headers.iter();
    LimitMatch {
        methods: found.methods.clone(),
        hosts: found.hosts.clone(),
        paths: found.paths.clone(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        identities: found.identities.clone(),
    }
}

fn priority(class: &mesh::LimitPriority) -> LimitPriority {
    LimitPriority {
        name: (*class.name).into(),
        matches: class.matches.iter().map(matches).collect(),
        leaves: class.leaves,
    }
}

//! Somebody outside who decides on requests and connections (`envoy.filters.http.ext_authz`,
//! `envoy.filters.network.ext_authz`), and on which ones they are asked.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    AccessAction, AccessPolicy, AccessRules, Name, Permission, Principal, RbacFilter, human,
};
use crate::name::Pattern;

/// Ask somebody whether a request may pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExtAuthzFilter {
    /// On which requests they are asked; none for every request.
    pub gate: Option<AuthzGate>,
    /// Whom.
    pub service: AuthzService,
    /// How long an answer is waited for.
    #[serde(serialize_with = "human::duration")]
    pub timeout: Duration,
    /// A request passes when there is no answer.
    pub fail_open: bool,
    /// The status of the answer to a caller when there is no answer; none keeps Envoy's 403.
    pub status_on_error: Option<u16>,
    /// Choose the route anew when the answer changed the request.
    pub clear_route_cache: bool,
    /// The names of headers that are shown to them; none shows what the service's protocol does by
    /// default.
    pub headers_in_check: Vec<Pattern>,
    /// How much of the body is shown to them, if any of it.
    pub body_in_check: Option<AuthzBody>,
}

/// Ask somebody over gRPC whether a connection may stay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionAuthz {
    /// On which connections they are asked; none for every connection.
    pub gate: Option<AuthzGate>,
    /// Prefix of its counters.
    pub stat_prefix: String,
    /// The cluster of the service.
    pub cluster: Name,
    /// How the service is called in requests to it.
    pub authority: String,
    /// How long an answer is waited for.
    #[serde(serialize_with = "human::duration")]
    pub timeout: Duration,
    /// A connection stays when there is no answer.
    pub fail_open: bool,
}

/// They are asked where a rule on trial matched whose id begins like this. The rules are those of
/// the last RBAC filter before that has [`AuthzGate::STAT_PREFIX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthzGate {
    /// The beginning of ids; Istio's is `istio-ext-authz-<provider>-`.
    pub policy_prefix: String,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthzService {
    /// A service that speaks Envoy's gRPC protocol of authorization.
    Grpc {
        /// Its cluster.
        cluster: Name,
        /// How it is called in requests to it.
        authority: String,
    },
    /// A service that is sent the request's head: a status of 200 lets it pass.
    Http {
        /// Its cluster.
        cluster: Name,
        /// How it is called, without scheme.
        host: String,
        /// What is put before the path.
        path_prefix: String,
        /// Headers that are added to what is sent.
        added_headers: BTreeMap<String, String>,
        /// Headers of its answer that the request gets when it may pass.
        to_upstream_on_allow: Vec<Pattern>,
        /// Headers of its answer that the caller gets when the request may pass.
        to_downstream_on_allow: Vec<Pattern>,
        /// Headers of its answer that the caller gets when the request may not pass.
        to_downstream_on_deny: Vec<Pattern>,
    },
}

/// How much of a body is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AuthzBody {
    /// The most bytes.
    pub max_bytes: u32,
    /// Show the beginning of a longer body, rather than answer 413.
    pub allow_partial: bool,
    /// As bytes rather than as text.
    pub as_bytes: bool,
}

impl AuthzGate {
    /// The prefix of the counters of rules that only tell whom to ask.
    pub const STAT_PREFIX: &str = "istio_ext_authz_";
    /// What every id begins with, the provider's name next.
    const PREFIX: &str = "istio-ext-authz-";

    /// The gate of a provider.
    pub fn of_provider(name: &str) -> Self {
        Self {
            policy_prefix: format!("{}{name}-", Self::PREFIX),
        }
    }

    /// The provider that is asked, as configuration calls it; none for gates of another shape.
    pub fn provider(&self) -> Option<&str> {
        let name = self.policy_prefix.strip_prefix(Self::PREFIX)?;
        name.strip_suffix('-').filter(|name| !name.is_empty())
    }

    /// Whether the rules of this filter only tell whom to ask.
    pub fn is_told_by(filter: &RbacFilter) -> bool {
        filter.shadow_rules.is_some() && filter.shadow_stat_prefix == Self::STAT_PREFIX
    }

    /// What is denied by who cannot ask: everything that somebody would be asked about. `before`
    /// are the RBAC filters that come before. Without a gate, or without the rules it looks for,
    /// that is everything.
    pub fn without_answer<'a>(
        gate: Option<&Self>,
        before: impl DoubleEndedIterator<Item = &'a RbacFilter>,
    ) -> RbacFilter {
        let told = before.rev().find(|filter| Self::is_told_by(filter));
        let told = told.and_then(|filter| filter.shadow_rules.as_ref());
        let policies = match (gate, told) {
            (Some(gate), Some(rules)) => {
                let asked = rules.policies.iter();
                let asked = asked.filter(|(id, _)| id.starts_with(&gate.policy_prefix));
                asked
                    .map(|(id, policy)| (id.clone(), policy.clone()))
                    .collect()
            }
            (gate, _) => {
                let id = gate.map_or("istio-ext-authz", |gate| &gate.policy_prefix);
                BTreeMap::from([(id.into(), AccessPolicy::of_everything())])
            }
        };
        RbacFilter {
            rules: Some(AccessRules {
                action: AccessAction::Deny,
                policies,
            }),
            ..RbacFilter::default()
        }
    }
}

impl AccessPolicy {
    /// A policy that matches whatever anybody does.
    pub fn of_everything() -> Self {
        Self {
            permissions: vec![Permission::Any],
            principals: vec![Principal::Any],
            origin: None,
        }
    }
}

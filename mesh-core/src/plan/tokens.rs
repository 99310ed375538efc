//! Which tokens requests may bring: RequestAuthentications as one filter.

use std::sync::Arc;

use super::view::View;
use crate::{
    config::{Problem, Severity},
    dataplane::{ClaimHeader, JwtFilter, JwtHeader, JwtProvider, NodeKind, Origin},
    mesh::{TokenKeys, TokenPolicy, TokenRule},
};

/// What is in effect for the proxy's workload; none if no policy is about tokens.
pub(super) fn in_effect(view: &View<'_>, problems: &mut Vec<Problem>) -> Option<JwtFilter> {
    let policies = view.mesh.tokens(&view.node.namespace, &view.node.labels);
    let unread = TokenRule::default();
    let mut rules: Vec<(&Arc<TokenPolicy>, &TokenRule)> = Vec::new();
    for policy in &policies {
        rules.extend(policy.rules.iter().map(|rule| (policy, rule)));
        // Nobody can tell what it was to say, so no token at the usual places passes by it.
        if policy.is_broken && policy.rules.is_empty() {
            rules.push((policy, &unread));
        }
    }
    // Istio's order, and so its names.
    rules.sort_by(|a, b| a.1.issuer.cmp(&b.1.issuer));
    let providers = rules.into_iter().enumerate();
    let providers = providers.map(|(index, (policy, rule))| JwtProvider {
        name: format!("origins-{index}").into(),
        issuer: rule.issuer.clone(),
        audiences: rule.audiences.clone(),
        keys: keys(view, policy, rule, problems),
        headers: rule
            .headers
            .iter()
            .map(|(name, prefix)| JwtHeader {
                name: name.clone(),
                prefix: prefix.clone(),
            })
            .collect(),
        parameters: rule.parameters.clone(),
        cookies: rule.cookies.clone(),
        forward: rule.forward,
        payload_header: rule.payload_header.clone(),
        claim_headers: rule
            .claim_headers
            .iter()
            .map(|(header, claim)| ClaimHeader {
                header: header.clone(),
                claim: claim.clone(),
            })
            .collect(),
        space_delimited_claims: rule.space_delimited_claims.clone(),
        clock_skew: JwtProvider::CLOCK_SKEW,
        origin: Some(Origin::of(policy.reference.clone()).at(&*rule.field)),
    });
    let providers: Vec<_> = providers.collect();
    (!providers.is_empty()).then_some(JwtFilter {
        providers,
        bypass_cors_preflight: true,
        // Only rules of gateways are about requests whose tokens are verified.
        reroutes: view.node.kind == NodeKind::Gateway,
    })
}

/// The keys of a rule. Without them no token of its issuer passes.
fn keys(
    view: &View<'_>,
    policy: &TokenPolicy,
    rule: &TokenRule,
    problems: &mut Vec<Problem>,
) -> String {
    let none = || JwtProvider::NO_KEYS.to_owned();
    match &rule.keys {
        _ if policy.is_broken => none(),
        TokenKeys::Inline(keys) => keys.clone(),
        TokenKeys::At { uri, .. } => view.options.key_sets.get(uri).cloned().unwrap_or_else(|| {
            let reason = format!(
                "the keys at {uri} are not known: every token of {:?} is refused",
                rule.issuer
            );
            let problem = Problem::new(Severity::Error, policy.source.clone(), reason)
                .of(policy.reference.clone())
                .at(format!("{}.jwksUri", rule.field));
            problems.push(problem.advise("write the keys in place, as jwks"));
            none()
        }),
    }
}

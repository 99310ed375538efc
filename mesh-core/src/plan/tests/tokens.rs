use super::town::{Town, listener, manager};
use crate::{
    dataplane::{HttpFilter, JwtFilter, JwtProvider, Snapshot},
    plan::{PlanOptions, plan},
};

const KEYS: &str = r#"{"keys":[{"kty":"OKP"}]}"#;

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n\
         metadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: reviews}}}}\n{spec}"
    )
}

fn filters(plan: &Snapshot) -> Vec<&'static str> {
    let inbound = listener(plan, "virtualInbound");
    let mut chains = inbound.filter_chains.iter();
    let chain = chains.find(|chain| &*chain.name == "0.0.0.0_9080");
    let filters = manager(chain.unwrap()).filters.iter();
    let names = filters.map(|filter| match filter {
        HttpFilter::JwtAuthn(_) => "tokens",
        HttpFilter::Rbac(_) => "access",
        HttpFilter::PeerMetadata => "peer",
        _ => "other",
    });
    names.filter(|name| *name != "other").collect()
}

fn tokens(plan: &Snapshot) -> Option<JwtFilter> {
    let inbound = listener(plan, "virtualInbound");
    let mut chains = inbound.filter_chains.iter();
    let chain = chains.find(|chain| &*chain.name == "0.0.0.0_9080");
    let mut filters = manager(chain.unwrap()).filters.iter();
    filters.find_map(|filter| match filter {
        HttpFilter::JwtAuthn(tokens) => Some(tokens.clone()),
        _ => None,
    })
}

/// Every field of a rule, and Istio's defaults of those that are not written.
#[test]
fn every_field() {
    let bare = policy(
        "bare",
        &format!("  jwtRules:\n  - {{issuer: z, jwks: '{KEYS}'}}\n"),
    );
    let full = policy(
        "full",
        &format!(
            "  jwtRules:\n  - issuer: a\n    audiences: [shop]\n    jwks: '{KEYS}'\n    \
             fromHeaders: [{{name: X-Token, prefix: 'jwt '}}]\n    fromParams: [t]\n    \
             fromCookies: [c]\n    outputPayloadToHeader: X-Payload\n    \
             outputClaimToHeaders: [{{header: X-Sub, claim: sub}}]\n    \
             forwardOriginalToken: true\n    timeout: 3s\n    spaceDelimitedClaims: [roles]\n"
        ),
    );
    let town = Town::bookinfo(&[&bare, &full]);
    let (plan, problems) = town.plan(&town.sidecar("reviews-v1"));
    assert_eq!(problems, [""; 0]);
    let filter = tokens(&plan).unwrap();
    assert!(filter.bypass_cors_preflight);
    // By issuer, whatever the policies are called.
    let [full, bare] = &filter.providers[..] else {
        panic!("{filter:?}");
    };
    assert_eq!((&*full.name, &*full.issuer), ("origins-0", "a"));
    assert_eq!((&*bare.name, &*bare.issuer), ("origins-1", "z"));
    let origin = full.origin.clone().unwrap();
    assert_eq!(origin.to_string(), "RequestAuthentication default/full");
    assert_eq!(origin.field.as_deref(), Some("spec.jwtRules[0]"));
    let expected = JwtProvider {
        name: "origins-1".into(),
        issuer: "z".into(),
        keys: KEYS.into(),
        space_delimited_claims: vec!["permission".into(), "scope".into()],
        clock_skew: JwtProvider::CLOCK_SKEW,
        origin: bare.origin.clone(),
        ..JwtProvider::default()
    };
    assert_eq!(*bare, expected);
    assert_eq!(full.audiences, ["shop"]);
    assert_eq!(full.headers[0].name, "x-token");
    assert_eq!(full.headers[0].prefix, "jwt ");
    assert_eq!((&*full.parameters[0], &*full.cookies[0]), ("t", "c"));
    assert_eq!(full.payload_header, "x-payload");
    assert_eq!(full.claim_headers[0].header, "x-sub");
    assert_eq!(full.claim_headers[0].claim, "sub");
    assert!(full.forward);
    assert_eq!(full.space_delimited_claims, ["roles"]);
}

/// Who calls is known before anybody is judged, and what a token says before the mesh's rules.
#[test]
fn order() {
    let access = |name: &str, action: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}}}\nspec: {{action: {action}, rules: [{{}}]}}\n"
        )
    };
    let tokens = policy(
        "t",
        &format!("  jwtRules:\n  - {{issuer: z, jwks: '{KEYS}'}}\n"),
    );
    let (allow, deny) = (access("allow", "ALLOW"), access("deny", "DENY"));
    let town = Town::bookinfo(&[&allow, &deny, &tokens]);
    let (plan, _) = town.plan(&town.sidecar("reviews-v1"));
    assert_eq!(filters(&plan), ["peer", "tokens", "access", "access"]);
    // It is for reviews only.
    let (plan, _) = town.plan(&town.sidecar("ratings-v1"));
    assert_eq!(filters(&plan), ["peer", "access", "access"]);
}

#[test]
fn keys_come_from_outside_or_no_token_passes() {
    let uri = "https://issuer.example/keys";
    let at = policy(
        "t",
        &format!("  jwtRules:\n  - {{issuer: z, jwksUri: '{uri}'}}\n"),
    );
    let found = policy("t", "  jwtRules:\n  - {issuer: 'https://i.example/'}\n");
    for (text, uri) in [
        (at, uri),
        (found, "https://i.example/.well-known/openid-configuration"),
    ] {
        let town = Town::bookinfo(&[&text]);
        let node = town.sidecar("reviews-v1");
        let (without, problems) = town.plan(&node);
        assert_eq!(
            tokens(&without).unwrap().providers[0].keys,
            JwtProvider::NO_KEYS
        );
        let [problem] = &problems[..] else {
            panic!("{problems:?}");
        };
        let wanted = format!("the keys at {uri} are not known: every token of ");
        assert!(problem.contains(&wanted), "{problem}");
        assert!(problem.contains("spec.jwtRules[0].jwksUri"), "{problem}");
        let options = PlanOptions {
            key_sets: std::sync::Arc::new([(uri.to_owned(), KEYS.to_owned())].into()),
            ..PlanOptions::default()
        };
        let (with, problems) = plan(&town.mesh(), &node, &options);
        assert_eq!(problems, []);
        assert_eq!(tokens(&with).unwrap().providers[0].keys, KEYS);
    }
}

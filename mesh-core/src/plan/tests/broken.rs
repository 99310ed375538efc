//! Policies that are broken from the start: nobody may do what they might have denied.

use std::sync::Arc;

use crate::{
    config::{ConfigSet, Problem},
    mesh::{AccessAction, AccessRule, Mesh, MeshDefaults, MtlsMode, read},
    name::Labels,
};

fn text(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: p}}\nspec:\n{spec}\n"
    )
}

/// What is in force once a file holds this, after it held `before`.
fn mesh_after(before: &str, text: &str) -> (Arc<Mesh>, Vec<String>) {
    let defaults = MeshDefaults::default();
    let (set, _) = ConfigSet::default().replace_file("a", &read("a", before, &defaults));
    let parsed = read("a", text, &defaults);
    let mut problems = parsed.problems.clone();
    let (set, more) = set.replace_file("a", &parsed);
    problems.extend(more);
    let (mesh, more) = Mesh::resolve(&set, &defaults);
    problems.extend(more);
    (mesh, problems.iter().map(Problem::to_string).collect())
}

fn mesh(text: &str) -> (Arc<Mesh>, Vec<String>) {
    let (mesh, problems) = mesh_after("", text);
    assert!(
        problems.iter().any(|p| p.contains("is broken")),
        "{text}\n{problems:#?}"
    );
    assert!(
        problems.iter().any(|p| !p.contains("is broken")),
        "{problems:#?}"
    );
    (mesh, problems)
}

fn web() -> Labels {
    [("app", "web")].into_iter().collect()
}

fn other() -> Labels {
    [("app", "other")].into_iter().collect()
}

const BROKEN_RULES: [&str; 7] = [
    "  rules: [{to: [{operation: {path: [/admin]}}]}]",
    "  rules: [{to: [{operation: {ports: [http]}}]}]",
    "  rules: [{from: [{source: {ipBlocks: [10.0.0.0/99]}}]}]",
    "  rules: [{when: [{key: 'request.header[x]', values: [a]}]}]",
    "  rules: {}",
    "  rules: []\n  rules: []",
    "  ruels: []",
];

#[test]
fn a_broken_deny_denies_what_it_is_for() {
    for rules in BROKEN_RULES {
        let spec = format!("  selector: {{matchLabels: {{app: web}}}}\n  action: DENY\n{rules}");
        let text = text("AuthorizationPolicy", &spec);
        let (mesh, problems) = mesh(&text);
        let scope = mesh.access("default", &web());
        assert_eq!(scope.deny.len(), 1, "{rules}");
        assert_eq!(scope.deny[0].rules, [AccessRule::default()], "{rules}");
        assert!(mesh.access("default", &other()).is_empty(), "{rules}");
        let says = problems.iter().any(|p| p.contains("everything is denied"));
        assert!(says, "{problems:#?}");
    }
}

#[test]
fn a_broken_allow_counts_and_allows_nothing() {
    for rules in BROKEN_RULES {
        let (mesh, _) = mesh(&text("AuthorizationPolicy", rules));
        let scope = mesh.access("default", &other());
        assert_eq!(scope.allow.len(), 1, "{rules}");
        assert_eq!(scope.allow[0].rules, []);
    }
}

#[test]
fn what_cannot_be_read_of_the_head_is_taken_strictly() {
    let rules = "  rules: [{}]";
    for (spec, reaches_other, action) in [
        ("  action: DENNY\n", true, AccessAction::Deny),
        ("  action: [DENY]\n", true, AccessAction::Deny),
        (
            "  action: DENY\n  selector: {matchLabels: 7}\n",
            true,
            AccessAction::Deny,
        ),
        (
            "  action: DENY\n  selector: {labels: {app: web}}\n",
            true,
            AccessAction::Deny,
        ),
        (
            "  action: DENNY\n  selector: {matchLabels: {app: web}}\n",
            false,
            AccessAction::Deny,
        ),
        ("  action: CUSTOM\n", true, AccessAction::Deny),
        (
            "  targetRefs: [{kind: Pod, name: x}]\n",
            true,
            AccessAction::Allow,
        ),
    ] {
        let (mesh, _) = mesh(&text("AuthorizationPolicy", &format!("{spec}{rules}")));
        for (labels, reached) in [(web(), true), (other(), reaches_other)] {
            let scope = mesh.access("default", &labels);
            let found: Vec<_> = scope.deny.iter().chain(&scope.allow).collect();
            assert_eq!(found.len(), usize::from(reached), "{spec}");
            assert!(found.iter().all(|policy| policy.action == action), "{spec}");
        }
    }
}

#[test]
fn the_last_good_version_is_better_than_a_broken_one() {
    let good = text(
        "AuthorizationPolicy",
        "  action: DENY\n  rules: [{to: [{operation: {paths: [/a]}}]}]",
    );
    let bad = good.replace("paths", "path");
    let (mesh, problems) = mesh_after(&good, &bad);
    let scope = mesh.access("default", &web());
    assert!(!scope.deny[0].is_broken);
    assert!(
        problems.iter().any(|p| p.contains("last good version")),
        "{problems:#?}"
    );
    // A broken one that takes the place of another broken one is no last good version.
    let worse = bad.replace("DENY", "ALLOW");
    let (mesh, _) = mesh_after(&bad, &worse);
    let scope = mesh.access("default", &web());
    assert_eq!((scope.deny.len(), scope.allow.len()), (0, 1));
    let (mesh, problems) = mesh_after(&bad, &good);
    assert!(!mesh.access("default", &web()).deny[0].is_broken);
    assert_eq!(problems, [""; 0]);
    // Gone from the file is gone.
    let (mesh, _) = mesh_after(&bad, "");
    assert!(mesh.access("default", &web()).is_empty());
}

#[test]
fn broken_peer_authentication_stays_strict() {
    for (spec, mode, at_80) in [
        (
            "  mtls: {mode: STRICTLY}",
            MtlsMode::Strict,
            MtlsMode::Strict,
        ),
        ("  mtls: STRICT", MtlsMode::Strict, MtlsMode::Strict),
        (
            "  mtls: {mode: STRICT}\n  x: 1",
            MtlsMode::Strict,
            MtlsMode::Strict,
        ),
        (
            "  mtls: {mode: STRICT, x: 1}",
            MtlsMode::Strict,
            MtlsMode::Strict,
        ),
        (
            "  mtls: {mode: DISABLE}\n  x: 1",
            MtlsMode::Disable,
            MtlsMode::Disable,
        ),
        (
            "  selector: {matchLabels: {app: web}}\n  mtls: {mode: PERMISSIVE}\n  \
             portLevelMtls: {80: {mode: STRICTEST}}",
            MtlsMode::Permissive,
            MtlsMode::Strict,
        ),
        (
            "  mtls: {mode: STRICT}\n  portLevelMtls: {80: {mode: DISABLE}}",
            MtlsMode::Strict,
            MtlsMode::Strict,
        ),
    ] {
        let (mesh, _) = mesh(&text("PeerAuthentication", spec));
        let found = mesh.mtls("default", &web());
        assert_eq!((found.mode(1), found.mode(80)), (mode, at_80), "{spec}");
    }
}

#[test]
fn broken_request_authentication_takes_no_token() {
    for (spec, issuers) in [
        ("  jwtRules: [{issuer: a, jwks: 'x'}]", vec!["a"]),
        (
            "  jwtRules: [{issuer: a, jwks: '{\"keys\":[1]}', audience: [b]}]",
            vec!["a"],
        ),
        (
            "  jwtRules: [{issuer: a, jwksUri: 'file:///etc/keys'}]",
            vec!["a"],
        ),
        (
            "  jwtRules: [{issuer: a, jwksUri: 'https://x', jwks: '{\"keys\":[1]}'}]",
            vec!["a"],
        ),
        ("  jwtRules: [{jwks: '{\"keys\":[1]}'}]", vec![""]),
        ("  jwtRules: [{issuer: [a]}]", vec![]),
        ("  jwtRule: []", vec![]),
    ] {
        let (mesh, problems) = mesh(&text("RequestAuthentication", spec));
        let policies = mesh.tokens("default", &web());
        assert_eq!(policies.len(), 1, "{spec}");
        assert!(policies[0].is_broken);
        let rules = policies[0].rules.iter().map(|rule| &*rule.issuer);
        assert_eq!(rules.collect::<Vec<_>>(), issuers, "{spec}");
        assert!(
            problems
                .iter()
                .any(|p| p.contains("token it is about is refused"))
        );
    }
}

#[test]
fn what_policies_are_attached_to() {
    let defaults = MeshDefaults::default();
    let spec = "  action: DENY\n  rules: [{}]\n  targetRefs:\n  \
                - {group: gateway.networking.k8s.io, kind: Gateway, name: edge}\n  \
                - {group: '', kind: Service, name: web}";
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
                   spec: {selector: {app: web}, ports: [{name: http, port: 80}]}\n";
    let all = format!("{}---\n{service}", text("AuthorizationPolicy", spec));
    let parsed = read("a", &all, &defaults);
    assert_eq!(parsed.problems, []);
    let (set, _) = ConfigSet::default().replace_file("a", &parsed);
    let (mesh, _) = Mesh::resolve(&set, &defaults);
    let edge = [("gateway.networking.k8s.io/gateway-name", "edge")];
    let back = [("gateway.networking.k8s.io/gateway-name", "back")];
    for (namespace, labels, count) in [
        ("default", edge.into_iter().collect(), 1),
        ("default", back.into_iter().collect(), 0),
        ("other", edge.into_iter().collect(), 0),
        ("default", web(), 1),
        ("default", other(), 0),
    ] {
        let scope = mesh.access(namespace, &labels);
        assert_eq!(scope.deny.len(), count, "{namespace} {labels:?}");
    }
}

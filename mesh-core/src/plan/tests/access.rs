use super::town::{Town, listener, manager};
use crate::{
    dataplane::{
        AccessAction, AccessRules, HttpFilter, NetworkFilter, RbacFilter, Snapshot, Terminal,
    },
    name::Pattern,
};

/// The plan for reviews under this policy, its spec indented by two, and what is wrong with it.
fn plan(spec: &str) -> (Snapshot, Vec<String>) {
    let policy = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\n\
         spec:\n  selector: {{matchLabels: {{app: reviews}}}}\n{spec}"
    );
    let town = Town::bookinfo(&[&policy]);
    town.plan(&town.sidecar("reviews-v1"))
}

/// The filters on requests to the port of reviews.
fn on_requests(plan: &Snapshot) -> Vec<RbacFilter> {
    let inbound = listener(plan, "virtualInbound");
    let chain = inbound
        .filter_chains
        .iter()
        .find(|chain| &*chain.name == "0.0.0.0_9080");
    let filters = manager(chain.unwrap()).filters.iter();
    let rbac = filters.filter_map(|filter| match filter {
        HttpFilter::Rbac(rbac) => Some(rbac.clone()),
        _ => None,
    });
    rbac.collect()
}

/// The filters on connections to ports that no service declares.
fn on_connections(plan: &Snapshot) -> Vec<RbacFilter> {
    let inbound = listener(plan, "virtualInbound");
    let mut chains = inbound.filter_chains.iter();
    let chain = chains.find(|chain| {
        &*chain.name == "virtualInbound" && matches!(chain.terminal, Terminal::Tcp(_))
    });
    let filters = chain.unwrap().filters.iter();
    filters
        .filter_map(|filter| match filter {
            NetworkFilter::Rbac(rbac) => Some(rbac.clone()),
            _ => None,
        })
        .collect()
}

fn only(filters: Vec<RbacFilter>) -> AccessRules {
    assert_eq!(filters.len(), 1, "{filters:?}");
    filters[0].rules.clone().unwrap()
}

/// What one rule asks, as JSON: permissions, then principals.
#[track_caller]
fn check(rule: &str, permissions: &str, principals: &str) {
    let (plan, problems) = plan(&format!("  rules:\n  - {rule}\n"));
    assert_eq!(problems, [""; 0], "{rule}");
    let rules = only(on_requests(&plan));
    assert_eq!(rules.action, AccessAction::Allow);
    let policy = &rules.policies["ns[default]-policy[p]-rule[0]"];
    let origin = policy.origin.as_ref().unwrap().to_string();
    assert_eq!(origin, "AuthorizationPolicy default/p");
    let got = serde_json::to_string(&policy.permissions).unwrap();
    assert_eq!(got, permissions, "{rule}");
    let got = serde_json::to_string(&policy.principals).unwrap();
    assert_eq!(got, principals, "{rule}");
}

#[test]
fn sources() {
    let any = r#"["any"]"#;
    for (source, want) in [
        (
            "principals: [cluster.local/ns/default/sa/web]",
            r#"{"authenticated":{"exact":"spiffe://cluster.local/ns/default/sa/web"}}"#,
        ),
        (
            "principals: ['other.org/ns/a/*']",
            r#"{"authenticated":{"prefix":"spiffe://other.org/ns/a/"}}"#,
        ),
        (
            "principals: ['*/sa/web']",
            r#"{"authenticated":{"suffix":"/sa/web"}}"#,
        ),
        ("principals: ['*']", r#"{"authenticated":{"regex":".+"}}"#),
        (
            "notPrincipals: [a, b]",
            r#"{"not":{"one_of":[{"authenticated":{"exact":"spiffe://a"}},{"authenticated":{"exact":"spiffe://b"}}]}}"#,
        ),
        (
            "namespaces: [default]",
            r#"{"authenticated":{"regex":".*/ns/default/.*"}}"#,
        ),
        // A dot in a name is a dot.
        (
            "namespaces: [a.b]",
            r#"{"authenticated":{"regex":".*/ns/a\\.b/.*"}}"#,
        ),
        (
            "namespaces: ['prod-*']",
            r#"{"authenticated":{"regex":".*/ns/prod-[^/]*/.*"}}"#,
        ),
        (
            "serviceAccounts: [web.x]",
            r#"{"authenticated":{"regex":"spiffe://.+/ns/default/(.+/|)sa/web\\.x(/.+)?"}}"#,
        ),
        (
            "trustDomains: [td.org]",
            r#"{"authenticated":{"regex":"spiffe://td\\.org/.*"}}"#,
        ),
        (
            "ipBlocks: [10.0.0.0/8]",
            r#"{"direct_remote_network":"10.0.0.0/8"}"#,
        ),
        (
            "remoteIpBlocks: [10.0.0.1]",
            r#"{"remote_network":"10.0.0.1/32"}"#,
        ),
    ] {
        check(
            &format!("from: [{{source: {{{source}}}}}]"),
            any,
            &format!("[{want}]"),
        );
    }
    check(
        "from: [{source: {principals: [a], namespaces: [b]}}, {source: {ipBlocks: [1.2.3.4]}}]",
        any,
        r#"[{"all":[{"authenticated":{"exact":"spiffe://a"}},{"authenticated":{"regex":".*/ns/b/.*"}}]},{"direct_remote_network":"1.2.3.4/32"}]"#,
    );
}

#[test]
fn operations() {
    let any = r#"["any"]"#;
    let header = |name: &str, pattern: &str, ignore_case: bool| {
        format!(
            r#"{{"header":{{"name":"{name}","value":{{"text":{{"pattern":{pattern},"ignore_case":{ignore_case}}}}},"invert":false,"missing_is_empty":false}}}}"#
        )
    };
    for (operation, want) in [
        (
            "methods: [GET]",
            header(":method", r#"{"exact":"GET"}"#, false),
        ),
        (
            "hosts: ['*.a.com']",
            header(":authority", r#"{"suffix":".a.com"}"#, true),
        ),
        (
            "paths: ['/reviews/*']",
            r#"{"path":{"prefix":"/reviews/"}}"#.into(),
        ),
        ("paths: [/a.b]", r#"{"path":{"exact":"/a.b"}}"#.into()),
        (
            "notPaths: [/admin]",
            r#"{"not":{"path":{"exact":"/admin"}}}"#.into(),
        ),
        ("ports: ['9080']", r#"{"destination_port":9080}"#.into()),
    ] {
        check(
            &format!("to: [{{operation: {{{operation}}}}}]"),
            &format!("[{want}]"),
            any,
        );
    }
    check("{}", any, any);
}

#[test]
fn conditions() {
    let any = r#"["any"]"#;
    let both = |key: &str| {
        format!("when: [{{key: {key}, values: ['10.0.0.1'], notValues: ['10.0.0.2']}}]")
    };
    let two = |name: &str| {
        format!(r#"[{{"all":[{{"{name}":"10.0.0.1/32"}},{{"not":{{"{name}":"10.0.0.2/32"}}}}]}}]"#)
    };
    check(&both("source.ip"), any, &two("direct_remote_network"));
    check(&both("remote.ip"), any, &two("remote_network"));
    check(&both("destination.ip"), &two("destination_network"), any);
    check(
        "when: [{key: connection.sni, values: [a.com]}]",
        r#"[{"server_name":{"exact":"a.com"}}]"#,
        any,
    );
    // `*` asks for a header to be there.
    check(
        "when: [{key: 'request.headers[X-Team]', values: ['*']}]",
        any,
        r#"[{"header":{"name":"x-team","value":"present","invert":false,"missing_is_empty":false}}]"#,
    );
}

#[test]
fn judged_in_order() {
    let policy = |name: &str, action: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}}}\nspec: {{action: {action}, rules: [{{}}]}}\n"
        )
    };
    let town = Town::bookinfo(&[
        &policy("a", "ALLOW"),
        &policy("b", "DENY"),
        &policy("c", "AUDIT"),
    ]);
    let (plan, _) = town.plan(&town.sidecar("reviews-v1"));
    let actions: Vec<_> = on_requests(&plan)
        .into_iter()
        .map(|filter| filter.rules.unwrap().action)
        .collect();
    assert_eq!(
        actions,
        [AccessAction::Log, AccessAction::Deny, AccessAction::Allow]
    );
    let inbound = listener(&plan, "virtualInbound");
    let chain = inbound
        .filter_chains
        .iter()
        .find(|chain| &*chain.name == "0.0.0.0_9080");
    let filters = &manager(chain.unwrap()).filters;
    assert_eq!(
        filters[0],
        HttpFilter::PeerMetadata,
        "the peer must be known first"
    );
    assert!(matches!(filters[1], HttpFilter::Rbac(_)));
}

/// Without rules a policy that allows lets nothing through.
#[test]
fn allow_nothing() {
    let (plan, _) = plan("  action: ALLOW\n");
    let rules = only(on_requests(&plan));
    assert_eq!(
        (rules.action, rules.policies.len()),
        (AccessAction::Allow, 0)
    );
}

#[test]
fn dry_runs_only_tell() {
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                  metadata: {name: p, annotations: {istio.io/dry-run: 'true'}}\n\
                  spec: {action: DENY, rules: [{}]}\n";
    let town = Town::bookinfo(&[policy]);
    let (plan, _) = town.plan(&town.sidecar("reviews-v1"));
    let [filter] = &on_requests(&plan)[..] else {
        panic!("one filter")
    };
    assert_eq!(filter.rules, None);
    assert_eq!(filter.shadow_stat_prefix, "istio_dry_run_deny_");
    assert_eq!(filter.shadow_rules.as_ref().unwrap().policies.len(), 1);
}

/// On connections, an ALLOW that asks for requests never matches, a DENY loses the condition.
#[test]
fn what_only_requests_have() {
    let rule = "  rules:\n  - from: [{source: {namespaces: [a]}}]\n    \
                to: [{operation: {methods: [GET], ports: ['1']}}]\n";
    let (allow, _) = plan(&format!("  action: ALLOW\n{rule}"));
    assert_eq!(only(on_connections(&allow)).policies.len(), 0);
    let (deny, _) = plan(&format!("  action: DENY\n{rule}"));
    let rules = only(on_connections(&deny));
    let policy = rules.policies.values().next().unwrap();
    let permissions = serde_json::to_value(&policy.permissions)
        .unwrap()
        .to_string();
    assert_eq!(permissions, r#"[{"destination_port":1}]"#);
}

/// Istio parts issuer and subject at the last slash; `*` asks that both be there.
#[test]
fn request_principals() {
    let any = r#"{"regex":".+"}"#;
    for (written, issuer, subject) in [
        ("*", any, any),
        (
            "https://i.example/bob",
            r#"{"exact":"https://i.example"}"#,
            r#"{"exact":"bob"}"#,
        ),
        (
            "https://i.example/*",
            r#"{"exact":"https://i.example"}"#,
            any,
        ),
        (
            "https://i.example/b*",
            r#"{"exact":"https://i.example"}"#,
            r#"{"prefix":"b"}"#,
        ),
        ("*/bob", any, r#"{"exact":"bob"}"#),
        (
            "*.example/bob",
            r#"{"suffix":".example"}"#,
            r#"{"exact":"bob"}"#,
        ),
        ("*bob", any, r#"{"suffix":"bob"}"#),
        ("issuer*", r#"{"prefix":"issuer"}"#, any),
        ("issuer", r#"{"exact":"issuer"}"#, r#"{"exact":""}"#),
    ] {
        let claim = |name: &str, value: &str| {
            format!(r#"{{"claim":{{"path":["{name}"],"values":[{value}]}}}}"#)
        };
        let all = format!(
            r#"{{"all":[{},{}]}}"#,
            claim("iss", issuer),
            claim("sub", subject)
        );
        check(
            &format!("from: [{{source: {{requestPrincipals: ['{written}']}}}}]"),
            r#"["any"]"#,
            &format!("[{all}]"),
        );
        check(
            &format!("when: [{{key: request.auth.principal, notValues: ['{written}']}}]"),
            r#"["any"]"#,
            &format!(r#"[{{"not":{all}}}]"#),
        );
    }
}

#[test]
fn claims() {
    for (key, path) in [
        ("request.auth.audiences", r#"["aud"]"#),
        ("request.auth.presenter", r#"["azp"]"#),
        ("request.auth.claims[groups]", r#"["groups"]"#),
        ("request.auth.claims[a][b.c]", r#"["a","b.c"]"#),
    ] {
        check(
            &format!("when: [{{key: '{key}', values: [x, 'y*'], notValues: ['*z']}}]"),
            r#"["any"]"#,
            &format!(
                r#"[{{"all":[{{"claim":{{"path":{path},"values":[{{"exact":"x"}},{{"prefix":"y"}}]}}}},{{"not":{{"claim":{{"path":{path},"values":[{{"suffix":"z"}}]}}}}}}]}}]"#
            ),
        );
    }
}

/// What cannot be judged never opens anything, and is named.
#[test]
fn providers_fail_closed() {
    let (custom, problems) = plan("  action: CUSTOM\n  provider: {name: opa}\n  rules: [{}]\n");
    let all = [on_requests(&custom), on_connections(&custom)];
    for rules in all.map(only) {
        assert_eq!(rules.action, AccessAction::Deny);
        let ids: Vec<_> = rules.policies.keys().map(|id| &**id).collect();
        assert_eq!(ids, ["default-deny-all-due-to-bad-CUSTOM-action"]);
    }
    assert!(
        problems[0].contains("spec.provider.name: there is no provider opa"),
        "{problems:?}"
    );
}

/// Every expression compiles, whatever a namespace is called.
#[test]
fn names_are_no_expressions() {
    let (plan, _) = plan("  rules:\n  - from: [{source: {namespaces: ['a+(b', '[', 'c$*']}}]\n");
    let rules = only(on_requests(&plan));
    let text = format!("{:?}", rules.policies.values().next().unwrap().principals);
    assert!(text.contains(r"a\\+\\(b"), "{text}");
    for pattern in [r".*/ns/a\+\(b/.*", r".*/ns/\[/.*", r".*/ns/c\$[^/]*/.*"] {
        Pattern::Regex(pattern.into()).check().unwrap();
        assert!(text.contains(&pattern.replace('\\', r"\\")), "{text}");
    }
}

//! Every kind at every version, and what is wrong with fields.

use crate::config::{Severity, Spec, gateway_api::GatewayApi, parse};

fn problems(text: &str) -> Vec<String> {
    let parsed = parse("a.yaml", text);
    let each = parsed.problems.iter();
    each.map(|problem| problem.to_string()).collect()
}

#[test]
fn every_kind_is_read_at_every_version() {
    for kind in [
        "GatewayClass",
        "Gateway",
        "HTTPRoute",
        "GRPCRoute",
        "TCPRoute",
        "TLSRoute",
        "ReferenceGrant",
        "BackendTLSPolicy",
    ] {
        for version in GatewayApi::VERSIONS {
            let text = format!(
                "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\n\
                 metadata: {{name: a}}\nspec: {{}}\n"
            );
            let parsed = parse("a.yaml", &text);
            assert_eq!(parsed.problems, [], "{kind} {version}");
            let resource = &parsed.resources[0];
            let Spec::GatewayApi(written) = &resource.spec else {
                panic!("{kind}: {:?}", resource.spec);
            };
            assert_eq!(written.kind(), kind);
            let namespace = if kind == "GatewayClass" {
                ""
            } else {
                "default"
            };
            assert_eq!(&*resource.reference.namespace, namespace, "{kind}");
        }
    }
}

#[test]
fn every_field_of_a_route_is_known() {
    let text = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: shop}
spec:
  parentRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, namespace: infra, name: g, sectionName: web, port: 80}
  hostnames: [shop.example.com]
  rules:
  - name: one
    matches:
    - path: {type: PathPrefix, value: /a}
      method: GET
      headers: [{type: Exact, name: x, value: y}]
      queryParams: [{type: RegularExpression, name: q, value: '[0-9]+'}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {set: [{name: a, value: b}]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: copy, port: 80}, fraction: {numerator: 1, denominator: 3}}
    - type: URLRewrite
      urlRewrite: {hostname: b.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}
    - type: CORS
      cors: {allowOrigins: ['*'], allowMethods: [GET], allowHeaders: [x], exposeHeaders: [y], maxAge: 5, allowCredentials: true}
    backendRefs:
    - {group: '', kind: Service, namespace: shop, name: web, port: 80, weight: 3, filters: []}
    timeouts: {request: 2s, backendRequest: 1s}
    retry: {codes: [503], attempts: 2, backoff: 100ms}
status: {parents: []}
";
    assert_eq!(problems(text), [] as [&str; 0]);
}

#[test]
fn slips_are_told_with_a_suggestion() {
    let route = |spec: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: a}}\nspec: {{{spec}}}\n"
        )
    };
    for (spec, want) in [
        (
            "hostname: [a]",
            "spec.hostname: unknown field; did you mean hostnames?",
        ),
        (
            "rules: [{backendRef: []}]",
            "spec.rules[0].backendRef: unknown field; did you mean backendRefs?",
        ),
        (
            "rules: [{matches: [{path: {type: PathPrefx}}]}]",
            "\"PathPrefx\" is no possible value; did you mean PathPrefix?",
        ),
        (
            "rules: [{filters: [{type: URLRewrites}]}]",
            "\"URLRewrites\" is no possible value; did you mean URLRewrite?",
        ),
        (
            "rules: [{sessionPersistence: {}}]",
            "warning: HTTPRoute default/a: spec.rules[0].sessionPersistence: not supported yet",
        ),
    ] {
        let found = problems(&route(spec)).join("\n");
        assert!(found.contains(want), "{spec}: {found}");
    }
}

#[test]
fn kinds_that_are_not_read_are_told_by_name() {
    for (group, kind) in [
        ("gateway.networking.k8s.io/v1", "UDPRoute"),
        ("gateway.networking.k8s.io/v1", "ListenerSet"),
        ("gateway.networking.x-k8s.io/v1alpha1", "XListenerSet"),
        (
            "gateway.networking.x-k8s.io/v1alpha1",
            "XBackendTrafficPolicy",
        ),
        ("gateway.networking.x-k8s.io/v1alpha1", "XMesh"),
        ("gateway.networking.x-k8s.io/v1alpha1", "XBackend"),
    ] {
        let text =
            format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{}}\n");
        let parsed = parse("a.yaml", &text);
        let [problem] = &parsed.problems[..] else {
            panic!("{kind}: {:?}", parsed.problems);
        };
        assert_eq!(problem.severity, Severity::Warning, "{problem}");
        assert!(problem.reason.contains("is not supported yet"), "{problem}");
        assert!(problem.reason.contains(kind), "{problem}");
    }
}

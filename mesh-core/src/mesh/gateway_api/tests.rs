//! What becomes of resources, as conditions.

use std::sync::Arc;

use crate::{
    config::ConfigSet,
    mesh::{Mesh, MeshDefaults, gateway_api::Condition, read},
};

/// The mesh of a text, and what was found on the way.
fn mesh(text: &str) -> (Arc<Mesh>, Vec<String>) {
    let defaults = MeshDefaults::default();
    let parsed = read("a.yaml", text, &defaults);
    let (set, _) = ConfigSet::default().replace_file("a.yaml", &parsed);
    let (mesh, problems) = Mesh::resolve(&set, &defaults);
    let all = parsed.problems.iter().chain(&problems);
    (mesh, all.map(ToString::to_string).collect())
}

/// `Accepted` for what is so, `!Accepted:Reason` for what is not.
fn told(conditions: &[Condition]) -> String {
    let each = conditions.iter().map(|condition| {
        let Condition { kind, reason, .. } = condition;
        match (condition.holds, kind == reason) {
            (true, true) => (*kind).to_owned(),
            (true, false) => format!("{kind}:{reason}"),
            (false, _) => format!("!{kind}:{reason}"),
        }
    });
    let mut each: Vec<_> = each
        .filter(|text| text != "!Conflicted:NoConflicts")
        .collect();
    each.sort();
    each.join(" ")
}

/// Conditions of a Gateway's listeners: `name kinds attached: conditions`.
fn listeners(mesh: &Mesh, name: &str) -> Vec<String> {
    let status = mesh.gateway_api_statuses().iter();
    let mut status = status.filter(|s| &*s.reference.kind == "Gateway");
    let status = status.find(|s| &*s.reference.name == name).unwrap();
    let each = status.listeners.iter().map(|listener| {
        let kinds = listener.supported_kinds.join(",");
        let conditions = told(&listener.conditions);
        format!(
            "{} [{kinds}] {}: {conditions}",
            listener.name, listener.attached_routes
        )
    });
    each.collect()
}

/// Conditions of a route or policy, at each of its parents.
fn parents(mesh: &Mesh, name: &str) -> Vec<String> {
    let mut status = mesh.gateway_api_statuses().iter();
    let status = status
        .find(|s| &*s.reference.name == name && &*s.reference.kind != "Gateway")
        .unwrap();
    let each = status.parents.iter().map(|parent| told(&parent.conditions));
    each.collect()
}

const PEM: &str = "
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: infra}
type: kubernetes.io/tls
stringData:
  tls.crt: |
    -----BEGIN CERTIFICATE-----
    AA==
    -----END CERTIFICATE-----
  tls.key: |
    -----BEGIN PRIVATE KEY-----
    AA==
    -----END PRIVATE KEY-----
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: vault}
type: kubernetes.io/tls
stringData:
  tls.crt: '-----BEGIN CERTIFICATE-----'
  tls.key: '-----BEGIN PRIVATE KEY-----'
---
apiVersion: v1
kind: Secret
metadata: {name: malformed, namespace: infra}
stringData: {tls.crt: hello, tls.key: world}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: roots, namespace: infra}
data: {ca.crt: '-----BEGIN CERTIFICATE-----'}
---
";

fn gateway(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: g, namespace: infra}}\n\
         spec: {{gatewayClassName: istio, listeners: [{listeners}]}}\n---\n"
    )
}

/// Each row is a listener, and what becomes of it.
#[test]
fn what_becomes_of_listeners() {
    let secret = |of: &str| {
        format!("{{name: a, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{of}]}}}}")
    };
    let https = "a [HTTPRoute,GRPCRoute] 0";
    let good = "Accepted Programmed ResolvedRefs";
    let no_secret = "!Programmed:Invalid !ResolvedRefs:InvalidCertificateRef Accepted";
    for (listener, want) in [
        // GatewayWithAttachedRoutes, without any.
        (
            "{name: a, port: 80, protocol: HTTP}".to_owned(),
            format!("{https}: {good}"),
        ),
        // GatewayInvalidListenersUnsupportedProtocol.
        (
            "{name: a, port: 80, protocol: example.com/x}".to_owned(),
            "a [] 0: !Accepted:UnsupportedProtocol !Programmed:Invalid ResolvedRefs".to_owned(),
        ),
        (
            "{name: a, port: 80, protocol: UDP}".to_owned(),
            "a [] 0: !Accepted:UnsupportedProtocol !Programmed:Invalid ResolvedRefs".to_owned(),
        ),
        // GatewayInvalidRouteKind.
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: Odd}]}}".to_owned(),
            "a [] 0: !ResolvedRefs:InvalidRouteKinds Accepted Programmed".to_owned(),
        ),
        (
            "{name: a, port: 80, protocol: HTTP, \
              allowedRoutes: {kinds: [{kind: Odd}, {kind: HTTPRoute}]}}"
                .to_owned(),
            "a [HTTPRoute] 0: !ResolvedRefs:InvalidRouteKinds Accepted Programmed".to_owned(),
        ),
        // TLSRouteListenerPassthroughSupportedKinds.
        (
            "{name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}, \
              allowedRoutes: {kinds: [{kind: TLSRoute}, {kind: TCPRoute}]}}"
                .to_owned(),
            "a [TLSRoute] 0: !ResolvedRefs:InvalidRouteKinds Accepted Programmed".to_owned(),
        ),
        // TLSRouteListenerTerminateSupportedKinds.
        (
            "{name: a, port: 443, protocol: TLS, tls: {certificateRefs: [{name: cert}]}}"
                .to_owned(),
            format!("a [TLSRoute] 0: {good}"),
        ),
        // GatewayInvalidTLSConfiguration.
        (secret("{name: cert}"), format!("{https}: {good}")),
        (secret("{name: none}"), format!("{https}: {no_secret}")),
        (secret("{name: malformed}"), format!("{https}: {no_secret}")),
        (
            secret("{group: odd.com, name: cert}"),
            format!("{https}: {no_secret}"),
        ),
        (
            secret("{kind: Odd, name: cert}"),
            format!("{https}: {no_secret}"),
        ),
        // GatewaySecretMissingReferenceGrant.
        (
            secret("{name: cert, namespace: vault}"),
            format!("{https}: !Programmed:Invalid !ResolvedRefs:RefNotPermitted Accepted"),
        ),
        (
            "{name: a, port: 9000, protocol: TCP}".to_owned(),
            format!("a [TCPRoute] 0: {good}"),
        ),
    ] {
        let (mesh, _) = mesh(&format!("{PEM}{}", gateway(&listener)));
        assert_eq!(listeners(&mesh, "g"), [want], "{listener}");
    }
}

/// GatewaySecretReferenceGrant*: each row is a grant in the Secret's namespace.
#[test]
fn certificates_of_other_namespaces_must_be_granted() {
    let listener = "{name: a, port: 443, protocol: HTTPS, \
                     tls: {certificateRefs: [{name: cert, namespace: vault}]}}";
    let from = "{group: gateway.networking.k8s.io, kind: Gateway, namespace: infra}";
    for (from, to, allowed) in [
        (from, "{group: '', kind: Secret, name: cert}", true),
        (from, "{group: '', kind: Secret}", true),
        (from, "{group: '', kind: Secret, name: other}", false),
        (from, "{group: '', kind: Service}", false),
        (
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}",
            "{group: '', kind: Secret}",
            false,
        ),
        (
            "{group: gateway.networking.k8s.io, kind: Gateway, namespace: elsewhere}",
            "{group: '', kind: Secret}",
            false,
        ),
        (
            "{group: '', kind: Gateway, namespace: infra}",
            "{group: '', kind: Secret}",
            false,
        ),
    ] {
        let grant = format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
             metadata: {{name: r, namespace: vault}}\nspec: {{from: [{from}], to: [{to}]}}\n---\n"
        );
        let (mesh, _) = mesh(&format!("{PEM}{grant}{}", gateway(listener)));
        let opened = mesh.gateways().len();
        assert_eq!(
            opened,
            usize::from(allowed),
            "{from} {to}: {:?}",
            listeners(&mesh, "g")
        );
    }
}

#[test]
fn listeners_that_claim_the_same_stay_closed() {
    for (a, b, want) in [
        (
            "port: 80, protocol: HTTP",
            "port: 80, protocol: HTTP",
            "HostnameConflict",
        ),
        (
            "port: 80, protocol: HTTP",
            "port: 80, protocol: TCP",
            "ProtocolConflict",
        ),
        (
            "port: 80, protocol: HTTP, hostname: a.com",
            "port: 80, protocol: HTTP, hostname: b.com",
            "",
        ),
        ("port: 80, protocol: HTTP", "port: 81, protocol: HTTP", ""),
        (
            "port: 443, protocol: HTTPS, hostname: a.com, tls: {certificateRefs: [{name: cert}]}",
            "port: 443, protocol: TLS, hostname: b.com, tls: {mode: Passthrough}",
            "",
        ),
    ] {
        let both = format!("{{name: a, {a}}}, {{name: b, {b}}}");
        let (mesh, _) = mesh(&format!("{PEM}{}", gateway(&both)));
        let open = if want.is_empty() { 2 } else { 0 };
        assert_eq!(mesh.gateways().len(), open, "{a} {b}");
        let told = listeners(&mesh, "g").join("\n");
        assert!(
            told.contains(&format!("Conflicted:{want}")) || want.is_empty(),
            "{told}"
        );
    }
}

const TOWN: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: apps, labels: {team: apps}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: infra}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g, namespace: infra}
spec:
  gatewayClassName: istio
  listeners:
  - {name: same, port: 80, protocol: HTTP, hostname: same.example.com}
  - name: all
    port: 80
    protocol: HTTP
    hostname: '*.all.example.com'
    allowedRoutes: {namespaces: {from: All}}
  - name: picked
    port: 8081
    protocol: HTTP
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: apps}}}}
  - name: grpc
    port: 8082
    protocol: HTTP
    allowedRoutes: {kinds: [{kind: GRPCRoute}], namespaces: {from: All}}
  - {name: tcp, port: 9000, protocol: TCP}
---
";

/// Each row is a route, and what becomes of it at its parent.
#[test]
fn what_becomes_of_routes() {
    let good = "Accepted ResolvedRefs";
    let web = "backendRefs: [{name: web, port: 8080}]";
    for (namespace, parent, hosts, rule, want) in [
        // HTTPRouteSimpleSameNamespace.
        ("infra", "name: g, sectionName: same", "", web, good),
        // HTTPRouteInvalidParentRefNotMatchingSectionName, ...NotMatchingListenerPort,
        // ...SectionNameNotMatchingPort.
        (
            "infra",
            "name: g, sectionName: odd",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        (
            "infra",
            "name: g, port: 81",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        (
            "infra",
            "name: g, sectionName: same, port: 8081",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        // HTTPRouteInvalidCrossNamespaceParentRef.
        (
            "apps",
            "name: g, namespace: infra, sectionName: same",
            "",
            web,
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        // HTTPRouteCrossNamespace, by All and by Selector.
        (
            "apps",
            "name: g, namespace: infra, sectionName: all",
            "",
            web,
            good,
        ),
        (
            "apps",
            "name: g, namespace: infra, port: 8081",
            "",
            web,
            good,
        ),
        (
            "other",
            "name: g, namespace: infra, port: 8081",
            "",
            "backendRefs: []",
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        // HTTPRouteDisallowedKind.
        (
            "infra",
            "name: g, sectionName: grpc",
            "",
            web,
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        (
            "infra",
            "name: g, sectionName: tcp",
            "",
            web,
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        // HTTPRouteHostnameIntersection.
        (
            "infra",
            "name: g, sectionName: same",
            "[other.example.com]",
            web,
            "!Accepted:NoMatchingListenerHostname ResolvedRefs",
        ),
        (
            "infra",
            "name: g, sectionName: same",
            "['*.example.com']",
            web,
            good,
        ),
        (
            "infra",
            "name: g, sectionName: all",
            "[a.b.all.example.com]",
            web,
            good,
        ),
        (
            "infra",
            "name: g, sectionName: all",
            "[all.example.com]",
            web,
            "!Accepted:NoMatchingListenerHostname ResolvedRefs",
        ),
        // HTTPRouteInvalidNonExistentBackendRef, ...UnknownKind, ...CrossNamespaceBackendRef.
        (
            "infra",
            "name: g, sectionName: same",
            "",
            "backendRefs: [{name: odd, port: 8080}]",
            "!ResolvedRefs:BackendNotFound Accepted",
        ),
        (
            "infra",
            "name: g, sectionName: same",
            "",
            "backendRefs: [{kind: Odd, name: web, port: 8080}]",
            "!ResolvedRefs:InvalidKind Accepted",
        ),
        (
            "infra",
            "name: g, sectionName: same",
            "",
            "backendRefs: [{name: web, namespace: apps, port: 8080}]",
            "!ResolvedRefs:RefNotPermitted Accepted",
        ),
        // A filter that nobody knows.
        (
            "infra",
            "name: g, sectionName: same",
            "",
            "filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: C, name: d}}]",
            "!Accepted:UnsupportedValue ResolvedRefs",
        ),
        // Services as parents.
        (
            "infra",
            "group: '', kind: Service, name: web",
            "",
            web,
            good,
        ),
        (
            "infra",
            "group: '', kind: Service, name: web, port: 8080",
            "",
            web,
            good,
        ),
        (
            "infra",
            "group: '', kind: Service, name: web, sectionName: http",
            "",
            web,
            good,
        ),
        (
            "infra",
            "group: '', kind: Service, name: web, port: 81",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        (
            "infra",
            "group: '', kind: Service, name: odd",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        // A consumer need not be granted what it may call anyway.
        (
            "other",
            "group: '', kind: Service, name: web, namespace: apps",
            "",
            "backendRefs: [{name: web, namespace: apps, port: 8080}]",
            good,
        ),
    ] {
        let hostnames = if hosts.is_empty() { "[]" } else { hosts };
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, namespace: {namespace}}}\n\
             spec: {{parentRefs: [{{{parent}}}], hostnames: {hostnames}, rules: [{{{rule}}}]}}\n"
        );
        let (mesh, problems) = mesh(&format!("{TOWN}{route}"));
        assert_eq!(parents(&mesh, "r"), [want], "{route}");
        assert_eq!(problems.is_empty(), want == good, "{route}{problems:?}");
    }
}

#[test]
fn attached_routes_are_counted() {
    let route = |name: &str, section: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: {name}, namespace: infra}}\n\
             spec: {{parentRefs: [{{name: g{section}}}], rules: []}}\n---\n"
        )
    };
    let text = format!(
        "{TOWN}{}{}",
        route("a", ""),
        route("b", ", sectionName: same")
    );
    let (mesh, _) = mesh(&text);
    let good = "Accepted Programmed ResolvedRefs";
    assert_eq!(
        listeners(&mesh, "g"),
        [
            format!("same [HTTPRoute,GRPCRoute] 2: {good}"),
            format!("all [HTTPRoute,GRPCRoute] 1: {good}"),
            format!("picked [HTTPRoute,GRPCRoute] 0: {good}"),
            format!("grpc [GRPCRoute] 0: {good}"),
            format!("tcp [TCPRoute] 0: {good}"),
        ]
    );
}

/// GatewayWithInvalidClientCertificateValidation and its like: each row is what the Gateway says
/// of callers' certificates, and what becomes of its listener.
#[test]
fn callers_certificates() {
    for (validation, want) in [
        (
            "caCertificateRefs: [{group: '', kind: ConfigMap, name: roots}]",
            "Accepted Programmed ResolvedRefs",
        ),
        (
            "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}]",
            "!Accepted:NoValidCACertificate !Programmed:Invalid \
             !ResolvedRefs:InvalidCACertificateRef",
        ),
        (
            "caCertificateRefs: [{group: '', kind: Service, name: roots}]",
            "!Accepted:NoValidCACertificate !Programmed:Invalid \
             !ResolvedRefs:InvalidCACertificateKind",
        ),
        (
            "caCertificateRefs: [{group: '', kind: ConfigMap, name: roots, namespace: vault}]",
            "!Accepted:NoValidCACertificate !Programmed:Invalid !ResolvedRefs:RefNotPermitted",
        ),
        (
            "mode: AllowInsecureFallback, \
             caCertificateRefs: [{group: '', kind: ConfigMap, name: roots}]",
            "!Accepted:UnsupportedValue !Programmed:Invalid ResolvedRefs",
        ),
    ] {
        let text = format!(
            "{PEM}apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: g, namespace: infra}}\n\
             spec:\n  gatewayClassName: istio\n  listeners:\n  \
             - {{name: a, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: cert}}]}}}}\n  \
             tls: {{frontend: {{default: {{validation: {{{validation}}}}}}}}}\n"
        );
        let (mesh, problems) = mesh(&text);
        let told = listeners(&mesh, "g");
        assert_eq!(
            told,
            [format!("a [HTTPRoute,GRPCRoute] 0: {want}")],
            "{problems:?}"
        );
    }
}

/// Each row is a policy's target and roots, and what becomes of it.
#[test]
fn what_becomes_of_policies_for_backend_tls() {
    let roots = "caCertificateRefs: [{group: '', kind: ConfigMap, name: roots}]";
    let web = "group: '', kind: Service, name: web";
    for (target, roots, want) in [
        (web, roots, "Accepted ResolvedRefs"),
        (
            web,
            "wellKnownCACertificates: System",
            "Accepted ResolvedRefs",
        ),
        (
            "group: '', kind: Service, name: web, sectionName: http",
            roots,
            "Accepted ResolvedRefs",
        ),
        (
            "group: '', kind: Service, name: web, sectionName: odd",
            roots,
            "!Accepted:TargetNotFound ResolvedRefs",
        ),
        (
            "group: '', kind: Service, name: odd",
            roots,
            "!Accepted:TargetNotFound ResolvedRefs",
        ),
        // BackendTLSPolicyInvalidCACertificateRef and BackendTLSPolicyInvalidKind.
        (
            web,
            "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}]",
            "!Accepted:NoValidCACertificate !ResolvedRefs:InvalidCACertificateRef",
        ),
        (
            web,
            "caCertificateRefs: [{group: odd.com, kind: Odd, name: none}]",
            "!Accepted:NoValidCACertificate !ResolvedRefs:InvalidKind",
        ),
    ] {
        let policy = |name: &str, created: &str| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
                 metadata: {{name: {name}, namespace: infra, creationTimestamp: '{created}'}}\n\
                 spec: {{targetRefs: [{{{target}}}], validation: {{{roots}, hostname: a.com}}}}\n---\n"
            )
        };
        let text = format!("{PEM}{TOWN}{}", policy("b", "2026-01-01T00:00:00Z"));
        let (alone, problems) = mesh(&text);
        assert_eq!(
            parents(&alone, "b"),
            [want],
            "{target} {roots}: {problems:?}"
        );
        // BackendTLSPolicyConflictResolution: the older one stays.
        if want == "Accepted ResolvedRefs" {
            let text = format!("{text}{}", policy("a", "2026-02-01T00:00:00Z"));
            let (mesh, _) = mesh(&text);
            assert_eq!(parents(&mesh, "b"), [want]);
            assert_eq!(parents(&mesh, "a"), ["!Accepted:Conflicted ResolvedRefs"]);
        }
    }
}

#[test]
fn classes_and_parameters() {
    let class = |controller: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\n\
             metadata: {{name: c}}\nspec: {{controllerName: {controller}}}\n---\n"
        )
    };
    let gateway = |class: &str, more: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: g, namespace: infra}}\nspec: {{gatewayClassName: {class}, \
             listeners: [{{name: a, port: 80, protocol: HTTP}}]{more}}}\n---\n"
        )
    };
    let ours = "istio.io/gateway-controller";
    for (text, open, problem) in [
        (gateway("istio", ""), 1, ""),
        (class(ours) + &gateway("c", ""), 1, ""),
        (class("example.com/other") + &gateway("c", ""), 0, ""),
        (gateway("odd", ""), 0, "there is no GatewayClass odd"),
        // GatewayInvalidParametersRef.
        (
            gateway(
                "istio",
                ", infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: none}}",
            ),
            0,
            "InvalidParameters",
        ),
        // GatewayStaticAddresses: what cannot be an address.
        (
            gateway("istio", ", addresses: [{type: example.com/odd, value: x}]"),
            0,
            "UnsupportedAddress",
        ),
    ] {
        let (mesh, problems) = mesh(&text);
        assert_eq!(mesh.gateways().len(), open, "{text}");
        let told = problems.join("\n");
        assert!(
            told.contains(problem) && told.is_empty() == problem.is_empty(),
            "{told}"
        );
    }
}

/// Each row is a route for connections, and what becomes of it.
#[test]
fn what_becomes_of_routes_for_connections() {
    const PORTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: c, namespace: infra}
spec:
  gatewayClassName: istio
  listeners:
  - {name: pass, port: 443, protocol: TLS, hostname: '*.example.com', tls: {mode: Passthrough}}
  - {name: tcp, port: 9000, protocol: TCP}
  - {name: http, port: 80, protocol: HTTP}
---
";
    let good = "Accepted ResolvedRefs";
    let web = "{name: web, port: 8080}";
    for (kind, parent, hosts, backend, want) in [
        ("TCPRoute", "tcp", "", web, good),
        // TCPRouteInvalidNonTCPListener.
        (
            "TCPRoute",
            "http",
            "",
            web,
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        (
            "TCPRoute",
            "tcp",
            "",
            "{name: odd, port: 1}",
            "!ResolvedRefs:BackendNotFound Accepted",
        ),
        (
            "TCPRoute",
            "tcp",
            "",
            "{name: web, namespace: apps, port: 8080}",
            "!ResolvedRefs:RefNotPermitted Accepted",
        ),
        (
            "TLSRoute",
            "pass",
            "hostnames: [a.example.com], ",
            web,
            good,
        ),
        // TLSRouteInvalidNoMatchingListenerHostname and TLSRouteInvalidNoMatchingListener.
        (
            "TLSRoute",
            "pass",
            "hostnames: [a.example.org], ",
            web,
            "!Accepted:NoMatchingListenerHostname ResolvedRefs",
        ),
        (
            "TLSRoute",
            "http",
            "",
            web,
            "!Accepted:NotAllowedByListeners ResolvedRefs",
        ),
        (
            "TLSRoute",
            "odd",
            "",
            web,
            "!Accepted:NoMatchingParent ResolvedRefs",
        ),
        // TLSRouteInvalidBackendRefUnknownKind and TLSRouteInvalidReferenceGrant.
        (
            "TLSRoute",
            "pass",
            "",
            "{kind: Odd, name: web, port: 8080}",
            "!ResolvedRefs:InvalidKind Accepted",
        ),
        (
            "TLSRoute",
            "pass",
            "",
            "{name: web, namespace: apps, port: 8080}",
            "!ResolvedRefs:RefNotPermitted Accepted",
        ),
    ] {
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
             metadata: {{name: r, namespace: infra}}\n\
             spec: {{parentRefs: [{{name: c, sectionName: {parent}}}], {hosts}\
             rules: [{{backendRefs: [{backend}]}}]}}\n"
        );
        let (mesh, _) = mesh(&format!("{TOWN}{PORTS}{route}"));
        assert_eq!(parents(&mesh, "r"), [want], "{route}");
    }
}

/// What the API server would refuse is refused: each row is a rule, and what is said.
#[test]
fn rules_that_cannot_be_meant() {
    let filter = |of: &str| format!("filters: [{of}]");
    let redirect = "{type: RequestRedirect, requestRedirect: {hostname: a.com}}";
    for (rule, want) in [
        (
            "matches: [{path: {value: a}}]".to_owned(),
            "no absolute path",
        ),
        (
            "matches: [{path: {value: /a//b}}]".to_owned(),
            "no absolute path",
        ),
        (
            "matches: [{path: {type: RegularExpression, value: '('}}]".to_owned(),
            "is refused",
        ),
        (
            "matches: [{method: get}]".to_owned(),
            "\"get\" is no method",
        ),
        (
            "matches: [{headers: [{name: 'a b', value: c}]}]".to_owned(),
            "is no name",
        ),
        ("backendRefs: [{name: web}]".to_owned(), "port: is missing"),
        ("backendRefs: [{port: 80}]".to_owned(), "name: is missing"),
        (
            "backendRefs: [{name: web, port: 80, weight: 1000001}]".to_owned(),
            "is more than",
        ),
        (
            format!(
                "{}, backendRefs: [{{name: web, port: 80}}]",
                filter(redirect)
            ),
            "no destinations",
        ),
        (
            filter(&format!("{redirect}, {redirect}")),
            "is given before",
        ),
        (
            filter(&format!(
                "{redirect}, {{type: URLRewrite, urlRewrite: {{hostname: a.com}}}}"
            )),
            "exclude each other",
        ),
        (filter("{type: RequestRedirect}"), "says nothing"),
        (
            filter("{requestRedirect: {hostname: a.com}}"),
            "type: is missing",
        ),
        (
            filter("{type: RequestRedirect, requestRedirect: {statusCode: 200}}"),
            "is none of 301",
        ),
        (
            filter("{type: RequestRedirect, requestRedirect: {scheme: ftp}}"),
            "neither http nor https",
        ),
        (
            filter(
                "{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: host, value: a}]}}",
            ),
            "can be set on requests, and nothing else",
        ),
        (
            filter(
                "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: a, value: \"b\\nc\"}]}}",
            ),
            "cannot be a header's value",
        ),
        (
            format!(
                "matches: [{{path: {{type: Exact, value: /a}}}}], {}",
                filter(
                    "{type: URLRewrite, urlRewrite: \
                     {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}"
                )
            ),
            "exactly one match",
        ),
        (
            filter(
                "{type: RequestMirror, requestMirror: \
                 {backendRef: {name: web, port: 80}, percent: 101}}",
            ),
            "no percentage",
        ),
        (
            filter(
                "{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, \
                 fraction: {numerator: 3, denominator: 2}}}",
            ),
            "is no share",
        ),
        (
            "timeouts: {request: 1s, backendRequest: 2s}".to_owned(),
            "longer than the whole",
        ),
        ("retry: {codes: [200]}".to_owned(), "no status between"),
    ] {
        let text = format!(
            "{TOWN}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, namespace: infra}}\n\
             spec: {{parentRefs: [{{name: g, sectionName: same}}], rules: [{{{rule}}}]}}\n"
        );
        let (mesh, problems) = mesh(&text);
        let told = problems.join("\n");
        assert!(
            told.contains(want) && told.contains("error"),
            "{rule}: {told}"
        );
        let left = mesh.gateway_api_statuses().iter();
        assert!(
            !left.into_iter().any(|s| &*s.reference.name == "r"),
            "{rule}: is left out"
        );
    }
}

/// GatewayModifyListeners: a version made of the one before is what it would be by itself.
#[test]
fn listeners_come_and_go() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                 metadata: {name: r, namespace: infra}\nspec: {parentRefs: [{name: g}]}\n---\n";
    let one = "{name: a, port: 80, protocol: HTTP}";
    let two = format!("{one}, {{name: b, port: 81, protocol: HTTP}}");
    let defaults = MeshDefaults::default();
    let set = |listeners: &str| {
        let parsed = read(
            "a.yaml",
            &format!("{route}{}", gateway(listeners)),
            &defaults,
        );
        ConfigSet::default().replace_file("a.yaml", &parsed).0
    };
    let (mut mesh, _) = Mesh::resolve(&set(one), &defaults);
    for (listeners, open) in [(&*two, 2), (one, 1), (&two, 2)] {
        let (next, told) = mesh.next(&set(listeners), &defaults);
        let (fresh, expected) = Mesh::resolve(&set(listeners), &defaults);
        assert_eq!(next.gateways(), fresh.gateways());
        assert_eq!(next.gateway_api_statuses(), fresh.gateway_api_statuses());
        assert_eq!((next.gateways().len(), told), (open, expected));
        // What stays is the same value, so that plans stay too.
        assert!(Arc::ptr_eq(&mesh.gateways()[0], &next.gateways()[0]));
        mesh = next;
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    const ROUTES: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: infra}
spec:
  parentRefs: [{name: g}, {group: '', kind: Service, name: web, port: 8080}]
  hostnames: ['*.example.com']
  rules:
  - matches: [{path: {value: /a}, method: GET, headers: [{name: a, value: b}]}]
    filters:
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: CORS, cors: {allowOrigins: ['https://*.example.com']}}
    backendRefs: [{name: web, port: 8080, weight: 3}, {name: odd, port: 1}]
    timeouts: {request: 2s, backendRequest: 1s}
    retry: {codes: [503], attempts: 2}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: s, namespace: infra}
spec: {parentRefs: [{name: g, sectionName: grpc}], rules: [{matches: [{method: {service: a.B}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: t, namespace: infra}
spec: {parentRefs: [{name: g, port: 9000}], rules: [{backendRefs: [{name: web, port: 8080}]}]}
";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn edits_never_panic(
            at in 0..TOWN.len() + ROUTES.len(),
            cut in 0usize..16,
            put in "[-a-z:{}*.\n 0-9]{0,8}",
        ) {
            let all = format!("{TOWN}{ROUTES}");
            let end = (at + cut).min(all.len());
            let text = format!("{}{put}{}", &all[..at], &all[end..]);
            let defaults = MeshDefaults::default();
            let (set, _) = ConfigSet::default().replace_file("x", &read("x", &text, &defaults));
            let (mesh, problems) = Mesh::resolve(&set, &defaults);
            // What was broken by itself was left out before.
            prop_assert!(problems.iter().all(|problem| !problem.is_error()), "{:?}", problems);
            // Whatever is attached, the same text means the same.
            let (again, _) = Mesh::resolve(&set, &defaults);
            prop_assert_eq!(mesh.gateway_api_statuses(), again.gateway_api_statuses());
        }
    }
}

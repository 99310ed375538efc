use std::path::Path;

use super::*;
use crate::{
    config::{Change, ConfigSet, Problem, kubernetes::Pod, parse},
    name::{AppProtocol, Pattern},
};

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{port: 9080, name: http, targetPort: web}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec:
  clusterIP: 10.0.0.7
  selector: {app: ratings}
  ports: [{port: 9080, name: http}, {port: 53, name: dns, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: other}
spec:
  selector: {app: reviews}
  ports: [{port: 9080, name: http}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
";

fn set(texts: &[&str]) -> ConfigSet {
    let text = texts.join("\n---\n");
    let parsed = parse("mesh.yaml", &text);
    assert_eq!(parsed.problems, [], "{text}");
    ConfigSet::default().replace_file("mesh.yaml", &parsed).0
}

fn resolve(texts: &[&str]) -> (Arc<Mesh>, Vec<String>) {
    let (mesh, problems) = Mesh::resolve(&set(texts), &MeshDefaults::default());
    (mesh, problems.into_iter().map(without_code).collect())
}

/// The codes of problems have cases of their own.
fn without_code(mut problem: Problem) -> String {
    problem.code = None;
    problem.to_string()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn full(name: &str) -> Host {
    host(&format!("{name}.default.svc.cluster.local"))
}

/// A VirtualService `v` for ratings with this rest of its spec, indented by two.
fn virtual_service(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec:\n  \
         hosts: [ratings]\n{spec}"
    )
}

fn pod(name: &str, ip: &str, pairs: &[(&str, &str)]) -> Arc<Resource> {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  \
         serviceAccountName: bookinfo-reviews\n  containers:\n  - name: a\n    \
         ports: [{{name: web, containerPort: 8000}}]\nstatus: {{podIP: {ip}}}\n"
    );
    let mut resource = Resource::clone(&parse("", &text).resources[0]);
    resource.metadata.labels = labels(pairs);
    Arc::new(resource)
}

#[test]
fn problems_of_the_whole() {
    #[track_caller]
    fn check(spec: &str, want: &str) {
        let (_, problems) = resolve(&[SERVICES, &virtual_service(spec)]);
        let start = "mesh.yaml:";
        let found: Vec<_> = problems
            .iter()
            .map(|problem| {
                let place = problem.strip_prefix(start).unwrap_or(problem);
                place.split_once(": ").map_or(place, |(_, rest)| rest)
            })
            .map(|rest| rest.replace("VirtualService default/v: ", ""))
            .collect();
        assert_eq!(found, [want], "{spec}");
    }
    check(
        "  http: [{route: [{destination: {host: reveiws}}]}]",
        "warning: spec.http[0].route[0].destination.host: \
         no service reveiws.default.svc.cluster.local: requests will get a 503; \
         did you mean reviews?",
    );
    check(
        "  http: [{route: [{destination: {host: reviews.other}}]}]",
        "warning: spec.http[0].route[0].destination.host: \
         no service reviews.other: requests will get a 503; \
         write reviews.other.svc.cluster.local",
    );
    check(
        "  http: [{route: [{destination: {host: reviews, subset: v9}}]}]",
        "warning: spec.http[0].route[0].destination.subset: \
         reviews.default.svc.cluster.local has no subset v9: requests will get a 503; \
         DestinationRule default/reviews has v1, v2",
    );
    check(
        "  http: [{route: [{destination: {host: ratings, subset: v1}}]}]",
        "warning: spec.http[0].route[0].destination.subset: \
         ratings.default.svc.cluster.local has no subset v1: requests will get a 503; \
         no DestinationRule is for this host",
    );
    check(
        "  http: [{route: [{destination: {host: reviews, port: {number: 80}}}]}]",
        "warning: spec.http[0].route[0].destination.port.number: \
         reviews.default.svc.cluster.local has no port 80: requests will get a 503; it has 9080",
    );
    check(
        "  gateways: [mesh, edge]\n  http: [{route: [{destination: {host: reviews}}]}]",
        "warning: spec.gateways[1]: no Gateway default/edge",
    );
    check(
        "  http:\n  - route: [{destination: {host: reviews}}]\n  - route: [{destination: {host: ratings}}]",
        "warning: spec.http[1]: is never reached: spec.http[0] takes all of it",
    );
    check(
        "  http: [{route: [{destination: {host: reviews}}, {destination: {host: ratings}}]}]",
        "error: spec.http[0].route: the weights add up to 0; \
         give each destination a weight, such as 50",
    );
    check(
        "  http: [{route: [{destination: {host: reviews}, weight: -1}]}]",
        "error: spec.http[0].route[0].weight: -1 is negative",
    );
    check(
        "  http: [{headers: {request: {set: {x-a: \"a\\r\\nb: c\"}}}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].headers.request.set.x-a: \
         \"a\\r\\nb: c\" cannot be a header's value",
    );
    for (edit, problem) in [
        (
            "set: {x-a: 100%}",
            "set.x-a: \"100%\" has a % too many; write %% to mean the sign",
        ),
        (
            "set: {x-a: a%NO%}",
            "set.x-a: %NO% is no operator; write %% to mean the sign",
        ),
        (
            "set: {\":path\": /a}",
            "set.:path: \":path\" is no header name",
        ),
        (
            "add: {host: a}",
            "add.host: \"host\" can be set on requests, and nothing else",
        ),
        ("remove: [a b]", "remove[0]: \"a b\" is no header name"),
        (
            "set: {Content-Length: '1'}",
            "set.Content-Length: \"Content-Length\" belongs to one connection, \
             and is the proxy's to write",
        ),
        (
            "remove: [transfer-encoding]",
            "remove[0]: \"transfer-encoding\" belongs to one connection, \
             and is the proxy's to write",
        ),
        ("set: {host: 'a,b'}", "set.host: \"a,b\" is no host"),
        (
            "set: {':authority': '[a]'}",
            "set.:authority: \"[a]\" is no host",
        ),
    ] {
        check(
            &format!(
                "  http: [{{headers: {{request: {{{edit}}}}}, route: [{{destination: {{host: reviews}}}}]}}]"
            ),
            &format!("error: spec.http[0].headers.request.{problem}"),
        );
    }
    check(
        "  http: [{rewrite: {uriRegexRewrite: {match: (a), rewrite: '\\2'}}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].rewrite.uriRegexRewrite.rewrite: \
         \\2 refers to a group that match does not have",
    );
    check(
        "  http: [{rewrite: {uri: /a b}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].rewrite.uri: \"/a b\" cannot stand in a path",
    );
    check(
        "  http: [{rewrite: {authority: a/b}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].rewrite.authority: \"a/b\" is no host",
    );
    check(
        "  http: [{redirect: {authority: 'a:99999'}}]",
        "error: spec.http[0].redirect.authority: \"a:99999\" is no host",
    );
    for fine in ["a.example.com:80", "10.0.0.1", "'[::1]:80'"] {
        let spec = format!("  http: [{{redirect: {{authority: {fine}}}}}]");
        assert_eq!(
            resolve(&[SERVICES, &virtual_service(&spec)]).1,
            [""; 0],
            "{fine}"
        );
    }
    check(
        "  http: [{match: [{headers: {'@request.auth.claims': {exact: b}}}], redirect: {uri: /}}]",
        "error: spec.http[0].match[0].headers.@request.auth.claims: \
         \"@request.auth.claims\" names no claim; \
         write @request.auth.claims.name or @request.auth.claims[a][b]",
    );
    check(
        "  http: [{}]",
        "error: spec.http[0]: one of route, redirect, directResponse is needed",
    );
    check(
        "  http: [{match: [{statPrefix: a}], route: [{destination: {host: reviews}}]}]",
        "warning: spec.http[0].match[0].statPrefix: not supported yet: such requests are not \
         counted by themselves",
    );
    check(
        "  http: [{delegate: {name: a}}]",
        "warning: spec.http[0].delegate: no VirtualService default/a without hosts, which could \
         decide; until then the next rule decides",
    );
    check(
        "  http: [{match: [{uri: {regex: '('}}], route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].match[0].uri.regex: \
         the regular expression \"(\" is refused: unclosed group",
    );
    check(
        "  http: [{match: [{uri: {exact: a, prefix: b}}], route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].match[0].uri: only one of exact, prefix, regex is allowed",
    );
    check(
        "  http: [{retries: {attempts: 1, retryOn: 'reset,5xy'}, route: [{destination: {host: reviews}}]}]",
        &format!(
            "error: spec.http[0].retries.retryOn: \"5xy\" is no condition or status; possible are {}",
            "5xx, gateway-error, reset, reset-before-request, connect-failure, envoy-ratelimited, \
             retriable-4xx, refused-stream, retriable-status-codes, retriable-headers, \
             http3-post-connect-failure, cancelled, deadline-exceeded, internal, \
             resource-exhausted, unavailable"
        ),
    );
    check(
        "  http: [{fault: {abort: {httpStatus: 700, percentage: {value: 1}}}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].fault.abort.httpStatus: 700 is no status between 200 and 599",
    );
    check(
        "  http: [{fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}, route: [{destination: {host: reviews}}]}]",
        "error: spec.http[0].fault.delay.percentage.value: \
         101 is no percentage: expected 0 to 100",
    );
    check(
        "  http: []",
        "error: spec: at least one http, tls or tcp route is needed",
    );
}

#[test]
fn broken_meaning_keeps_the_last_good_version() {
    let good = virtual_service("  http: [{route: [{destination: {host: ratings}}]}]");
    let defaults = MeshDefaults::default();
    let (set, _) = ConfigSet::default().replace_file("v.yaml", &read("v.yaml", &good, &defaults));
    let bad = good.replace("host: ratings}}", "host: ratings}, weight: -1}");
    let parsed = read("v.yaml", &bad, &defaults);
    assert_eq!(
        parsed.problems[0].to_string(),
        "v.yaml:6: error: VirtualService default/v: spec.http[0].route[0].weight: -1 is negative"
    );
    let (next, problems) = set.replace_file("v.yaml", &parsed);
    assert_eq!(
        (next.version(), next.iter().count(), problems.len()),
        (1, 1, 1)
    );
}

#[test]
fn services_are_found_by_namespace() {
    let entry = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: other}
spec:
  hosts: [api.example.com]
  exportTo: [.]
  ports: [{number: 443, name: https, protocol: HTTPS}]
  resolution: DNS
";
    let (mesh, problems) = resolve(&[SERVICES, entry]);
    assert_eq!(problems, Vec::<String>::new());
    let seen = |namespace| {
        let visible = mesh.services_visible_to(namespace);
        visible
            .map(|service| service.host.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(seen("default").len(), 3);
    assert_eq!(seen("other").len(), 4);
    let api = mesh.service(&host("api.example.com"), "other").unwrap();
    assert_eq!(mesh.service(&host("api.example.com"), "default"), None);
    assert_eq!(api.ports[0].port.protocol, AppProtocol::Tls);
    assert!(api.is_external);
    let endpoints = mesh.endpoints().of(api, 443);
    assert_eq!(
        endpoints[0].address,
        WorkloadAddress::Dns("api.example.com".into())
    );
    let ratings = mesh.service(&full("ratings"), "other").unwrap();
    assert_eq!(
        ratings.addresses,
        ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn instances_follow_pods_by_the_fast_lane() {
    let first = set(&[SERVICES]);
    let (mesh, _) = Mesh::resolve(&first, &MeshDefaults::default());
    let reviews = mesh.service(&full("reviews"), "default").unwrap().clone();
    let ratings = mesh.service(&full("ratings"), "default").unwrap().clone();
    assert!(mesh.endpoints().of(&reviews, 9080).is_empty());

    let v1 = [
        ("app", "reviews"),
        ("version", "v1"),
        ("pod-template-hash", "abc"),
    ];
    let v2 = [
        ("app", "reviews"),
        ("version", "v2"),
        ("security.istio.io/tlsMode", "istio"),
    ];
    let pods = [
        pod("reviews-v1-abc-x", "127.1.0.1", &v1),
        pod("reviews-v2-y", "127.1.0.2", &v2),
    ];
    let second = first.apply(pods.map(Change::Put));
    let faster = mesh.with_instances(&second).expect("only pods came");
    assert_eq!(faster.version(), 2);
    let endpoints = faster.endpoints();
    let ports: Vec<_> = endpoints
        .of(&reviews, 9080)
        .iter()
        .map(|e| e.port)
        .collect();
    assert_eq!(ports, [8000, 8000]);
    let names: Vec<_> = endpoints
        .workloads()
        .iter()
        .map(|w| (&*w.workload_name, w.tls_mode))
        .collect();
    assert_eq!(
        names,
        [
            ("reviews-v1", TlsMode::Disabled),
            ("reviews-v2-y", TlsMode::Istio)
        ]
    );
    let subset = faster
        .subset(&reviews, "v2", "default", &Labels::default())
        .unwrap();
    assert_eq!(endpoints.of_subset(&reviews, 9080, subset).count(), 1);
    let identities: Vec<_> = faster
        .identities(&reviews)
        .iter()
        .map(|id| id.to_string())
        .collect();
    assert_eq!(
        identities,
        ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]
    );
    let inbound = faster.inbound_ports(&endpoints.workloads()[0]);
    assert_eq!(inbound.len(), 1);
    assert_eq!(
        (inbound[0].port.number, inbound[0].target_port),
        (9080, 8000)
    );

    // What did not change is the same, to the pointer.
    let third = second.apply([Change::Put(pod(
        "ratings-1",
        "127.1.0.3",
        &[("app", "ratings")],
    ))]);
    let next = faster.with_instances(&third).expect("only a pod came");
    let same = |service| {
        Arc::ptr_eq(
            faster.endpoints().service(service).unwrap(),
            next.endpoints().service(service).unwrap(),
        )
    };
    assert!(same(&reviews));
    assert!(!same(&ratings));
    let fourth = third.apply([Change::Remove(reviews.reference.clone())]);
    assert!(next.with_instances(&fourth).is_none());
}

#[test]
fn pods_without_address_or_readiness() {
    let mut silent = Resource::clone(&pod("a", "127.0.0.9", &[("app", "reviews")]));
    silent.spec = Spec::Pod(Pod::default());
    let mut unready = Resource::clone(&pod("b", "127.0.0.9", &[("app", "reviews")]));
    if let Spec::Pod(pod) = &mut unready.spec {
        pod.status.phase = "Pending".into();
    }
    let set = set(&[SERVICES]).apply([silent, unready].map(|pod| Change::Put(Arc::new(pod))));
    let (mesh, _) = Mesh::resolve(&set, &MeshDefaults::default());
    let reviews = mesh.service(&full("reviews"), "default").unwrap();
    let ready: Vec<_> = mesh
        .endpoints()
        .of(reviews, 9080)
        .iter()
        .map(|e| e.is_ready)
        .collect();
    assert_eq!(ready, [false]);
}

#[test]
fn slices_and_entries() {
    let text = "\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432, name: tcp}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints:
- addresses: [10.1.1.1]
- addresses: [10.1.1.2]
  conditions: {ready: false}
ports: [{name: tcp, port: 15432}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm}
spec:
  hosts: [vm.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1}
spec: {address: 10.2.2.2, labels: {app: vm}, serviceAccount: vm, ports: {http: 8080}, locality: a/b/c}
";
    let (mesh, problems) = resolve(&[text]);
    assert_eq!(problems, Vec::<String>::new());
    let of = |name: &Host, port| {
        let service = mesh.service(name, "default").unwrap();
        mesh.endpoints()
            .of(service, port)
            .iter()
            .map(|e| {
                (
                    format!("{:?}", e.address),
                    e.port,
                    e.is_ready,
                    e.workload.tls_mode,
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&full("db"), 5432),
        [
            ("Ip(10.1.1.1)".into(), 15432, true, TlsMode::Disabled),
            ("Ip(10.1.1.2)".into(), 15432, false, TlsMode::Disabled),
        ]
    );
    assert_eq!(
        of(&host("vm.example.com"), 80),
        [("Ip(10.2.2.2)".into(), 8080, true, TlsMode::Istio)]
    );
    let vm = mesh.endpoints().workload("default", "vm-1").unwrap();
    assert_eq!(vm.locality.to_string(), "a/b/c");
}

#[test]
fn rules_are_found_by_host_and_client() {
    let rules = |name: &str, namespace: &str, hosts: &str, rest: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: {name}, namespace: {namespace}{rest}\n  \
             http: [{{redirect: {{uri: /}}}}]\n  hosts: {hosts}\n"
        )
    };
    let (mesh, problems) = resolve(&[
        SERVICES,
        &rules("young", "default", "[reviews]", "}\nspec:"),
        &rules(
            "old",
            "default",
            "[reviews]",
            ", creationTimestamp: \"2020-01-01T00:00:00Z\"}\nspec:",
        ),
        &rules("wide", "default", "['*.cluster.local']", "}\nspec:"),
        &rules("wider", "default", "['*.local', '*.com']", "}\nspec:"),
        &rules(
            "own",
            "other",
            "[ratings.default.svc.cluster.local]",
            "}\nspec:\n  exportTo: [.]",
        ),
        &rules("edge", "default", "['*']", "}\nspec:\n  gateways: [g]"),
    ]);
    assert_eq!(
        problems,
        [
            "mesh.yaml:76: warning: VirtualService default/edge: spec.gateways[0]: \
             no Gateway default/g",
            "mesh.yaml:36: warning: VirtualService default/young: spec.hosts[0]: \
             VirtualService default/old (mesh.yaml:39) is for this host too, and wins; \
             put the rules of one host into one VirtualService",
        ]
    );
    let nobody = Labels::default();
    let found = |name: &Host, namespace: &str| {
        let client = Client::Sidecar {
            namespace,
            labels: &nobody,
        };
        mesh.traffic_rules(name, client)
            .map_or("", |rules| &*rules.reference.name)
            .to_owned()
    };
    assert_eq!(found(&full("reviews"), "default"), "old");
    assert_eq!(found(&full("ratings"), "default"), "wide");
    assert_eq!(found(&full("ratings"), "other"), "own");
    assert_eq!(found(&host("a.com"), "other"), "wider");
    assert_eq!(found(&host("a.org"), "other"), "");
    let gateway = GatewayName::parse("g", "default");
    let edge = mesh
        .traffic_rules(&host("a.org"), Client::Gateway(&gateway))
        .unwrap();
    assert_eq!(&*edge.reference.name, "edge");
}

#[test]
fn matches_know_their_clients() {
    let mesh_only =
        |labels: &[(&str, &str)], gateways: &[&str], namespace: Option<&str>| ClientMatch {
            gateways: gateways
                .iter()
                .map(|g| GatewayName::parse(g, "default"))
                .collect(),
            labels: labels.iter().copied().collect(),
            namespace: namespace.map(Into::into),
        };
    let web = labels(&[("app", "web")]);
    let sidecar = Client::Sidecar {
        namespace: "default",
        labels: &web,
    };
    let name = GatewayName::parse("g", "default");
    let gateway = Client::Gateway(&name);
    for (rule, at_sidecar, at_gateway) in [
        (mesh_only(&[], &[], None), true, true),
        (mesh_only(&[("app", "web")], &[], None), true, false),
        (mesh_only(&[("app", "db")], &[], None), false, false),
        (mesh_only(&[("app", "db")], &["mesh"], None), true, false),
        (mesh_only(&[], &["g"], None), false, true),
        (mesh_only(&[], &[], Some("other")), false, false),
        (mesh_only(&[], &[], Some("default")), true, false),
    ] {
        assert_eq!(rule.includes(sidecar), at_sidecar, "{rule:?}");
        assert_eq!(rule.includes(gateway), at_gateway, "{rule:?}");
    }
}

#[test]
fn http_rules_keep_what_was_written() {
    let (mesh, problems) = resolve(&[
        SERVICES,
        &virtual_service(
            "  http:
  - name: jason
    match:
    - headers: {End-User: {exact: jason}, x-any: {}}
      uri: {prefix: /a}
      ignoreUriCase: true
    fault:
      delay: {percentage: {value: 0.1}, fixedDelay: 7s}
    rewrite: {uri: /b, authority: c}
    timeout: 500ms
    retries: {attempts: 2, retryOn: '5xx,503', perTryTimeout: 2s}
    mirror: {host: reviews, subset: v2}
    mirrorPercentage: {value: 50}
    headers: {request: {set: {x: y}}}
    route:
    - {destination: {host: reviews, subset: v1}, weight: 75}
    - {destination: {host: reviews, subset: v2}, weight: 25}
    - {destination: {host: reviews}, weight: 0}
  - directResponse: {status: 418, body: {string: teapot}}
",
        ),
    ]);
    assert_eq!(problems, Vec::<String>::new());
    let client = Client::Sidecar {
        namespace: "default",
        labels: &Labels::default(),
    };
    let rules = mesh.traffic_rules(&full("ratings"), client).unwrap();
    let rule = &rules.http[0];
    let path = rule.matches[0].path.clone().unwrap();
    assert_eq!(
        (path.pattern, path.ignore_case),
        (Pattern::Prefix("/a".into()), true)
    );
    let headers: Vec<_> = rule.matches[0]
        .headers
        .iter()
        .map(|h| (&*h.name, &h.value))
        .collect();
    assert_eq!(
        headers,
        [
            (
                "end-user",
                &TextCondition::Is(Pattern::Exact("jason".into()))
            ),
            ("x-any", &TextCondition::Present),
        ]
    );
    let delay = rule.fault.as_ref().unwrap().delay.unwrap();
    assert_eq!((delay.duration.as_secs(), delay.share.parts()), (7, 1000));
    let HttpAction::Forward(forward) = &rule.action else {
        panic!("a forward expected");
    };
    let shares: Vec<_> = forward
        .destinations
        .iter()
        .map(|d| (d.destination.to_string(), d.weight))
        .collect();
    assert_eq!(
        shares,
        [
            ("reviews.default.svc.cluster.local subset v1".into(), 75),
            ("reviews.default.svc.cluster.local subset v2".into(), 25),
        ]
    );
    assert_eq!(forward.path, Some(PathRewrite::Matched("/b".into())));
    assert_eq!(forward.timeout.unwrap().as_millis(), 500);
    let retries = forward.retries.as_ref().unwrap();
    assert_eq!(
        (&retries.retry_on[..], &retries.statuses[..]),
        (&["5xx".to_owned()][..], &[503][..])
    );
    assert_eq!(forward.mirrors[0].share.parts(), 500_000);
    let HttpAction::Respond(respond) = &rules.http[1].action else {
        panic!("an answer expected");
    };
    assert_eq!((respond.status, &*respond.body), (418, &b"teapot"[..]));
}

#[test]
fn destination_policies_merge() {
    let rule = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec:
  host: ratings
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy:
      connectionPool: {http: {http1MaxPendingRequests: 0, http2MaxRequests: 5}, tcp: {idleTimeout: 3s}}
      portLevelSettings: [{port: {number: 81}, tls: {mode: DISABLE}}]
";
    let (mesh, problems) = resolve(&[SERVICES, rule]);
    assert_eq!(problems, Vec::<String>::new());
    let ratings = mesh.service(&full("ratings"), "default").unwrap();
    let policy = mesh
        .destination_policy(ratings, "other", &Labels::default())
        .unwrap();
    let mesh_tls = Some(ClientTls::Mesh(TlsNames::default()));
    let every = policy.policy(9080, None);
    assert_eq!(
        (every.balancing().cloned(), every.tls),
        (Some(Balancing::RoundRobin), mesh_tls.clone())
    );
    let port = policy.policy(80, None);
    assert_eq!(
        (port.balancing().cloned(), port.tls),
        (Some(Balancing::Random), None)
    );
    let subset = policy.policy(9080, Some("v1"));
    let pool = subset.pool.clone().unwrap();
    assert_eq!(
        (subset.balancing().cloned(), subset.tls),
        (Some(Balancing::RoundRobin), mesh_tls)
    );
    assert_eq!(
        (pool.max_pending_requests, pool.max_requests),
        (None, Some(5))
    );
    assert_eq!(pool.http_idle_timeout.unwrap().as_secs(), 3);
    let subset_port = policy.policy(81, Some("v1"));
    assert_eq!(
        (subset_port.balancing().cloned(), subset_port.tls),
        (None, Some(ClientTls::Off))
    );
}

#[test]
fn destination_policies_are_found_by_namespace() {
    let rule = |name: &str, namespace: &str, rest: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  {rest}\n"
        )
    };
    let (mesh, _) = resolve(&[
        SERVICES,
        &rule("root", "istio-system", "host: '*.local'"),
        &rule("client", "other", "host: ratings.default.svc.cluster.local"),
        &rule(
            "selected",
            "other",
            "host: ratings.default.svc.cluster.local\n  workloadSelector: {matchLabels: {app: web}}",
        ),
        &rule("owner", "default", "host: ratings"),
        &rule("wide", "default", "host: '*.default.svc.cluster.local'"),
    ]);
    let ratings = mesh.service(&full("ratings"), "default").unwrap();
    let other = mesh
        .service(&host("reviews.other.svc.cluster.local"), "other")
        .unwrap();
    let web = labels(&[("app", "web")]);
    let found = |service: &Service, namespace: &str, labels: &Labels| {
        let policy = mesh.destination_policy(service, namespace, labels).unwrap();
        policy.reference.name.to_string()
    };
    let nobody = Labels::default();
    assert_eq!(found(ratings, "default", &nobody), "owner");
    assert_eq!(found(ratings, "other", &nobody), "client");
    assert_eq!(found(ratings, "other", &web), "selected");
    assert_eq!(found(ratings, "third", &web), "owner");
    assert_eq!(found(other, "other", &nobody), "root");
}

#[test]
fn mtls_modes_merge() {
    let policy = |name: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    };
    let (mesh, problems) = resolve(&[
        &policy("default", "istio-system", "{mtls: {mode: STRICT}}"),
        &policy("default", "loose", "{mtls: {mode: PERMISSIVE}}"),
        &policy("default2", "loose", "{mtls: {mode: DISABLE}}"),
        &policy(
            "web",
            "loose",
            "{selector: {matchLabels: {app: web}}, mtls: {mode: UNSET}, portLevelMtls: {8080: {mode: DISABLE}}}",
        ),
    ]);
    assert_eq!(
        problems,
        [
            "mesh.yaml:16: warning: PeerAuthentication loose/default2: spec: \
          PeerAuthentication loose/default is for the whole namespace too, and wins"
        ]
    );
    let web = labels(&[("app", "web")]);
    for (namespace, port, want) in [
        ("default", 80, MtlsMode::Strict),
        ("loose", 80, MtlsMode::Permissive),
        ("loose", 8080, MtlsMode::Disable),
    ] {
        assert_eq!(
            mesh.mtls(namespace, &web).mode(port),
            want,
            "{namespace} {port}"
        );
    }
    let (nothing, _) = resolve(&[SERVICES]);
    assert_eq!(nothing.mtls("default", &web).mode(80), MtlsMode::Permissive);
}

#[test]
fn access_policies_are_found_and_read() {
    let policy = |name: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    };
    let (mesh, problems) = resolve(&[
        &policy(
            "all",
            "istio-system",
            "{action: DENY, rules: [{to: [{operation: {paths: [/admin*, '/a/{*}/b']}}]}]}",
        ),
        &policy("nothing", "default", "{}"),
        &policy(
            "web",
            "default",
            "{selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: ['*/sa/a'], \
             serviceAccounts: [b], notNamespaces: [evil]}}], \
             when: [{key: 'request.headers[X-A]', values: ['*']}, {key: source.ip, notValues: [10.0.0.0/8]}]}]}",
        ),
    ]);
    assert_eq!(problems, Vec::<String>::new());
    let names = |labels: &Labels| {
        let scope = mesh.access("default", labels);
        let of = |list: &[Arc<AccessPolicy>]| {
            list.iter()
                .map(|p| p.reference.name.to_string())
                .collect::<Vec<_>>()
        };
        (of(&scope.deny), of(&scope.allow))
    };
    assert_eq!(
        names(&Labels::default()),
        (vec!["all".into()], vec!["nothing".into()])
    );
    let web = labels(&[("app", "web")]);
    assert_eq!(
        names(&web),
        (vec!["all".into()], vec!["nothing".into(), "web".into()])
    );
    let scope = mesh.access("default", &web);
    let paths = &scope.deny[0].rules[0].to[0].paths;
    assert_eq!(
        paths.any,
        [
            Pattern::Prefix("/admin".into()),
            Pattern::Regex("/a/[^/]+/b".into())
        ]
    );
    let rule = &scope.allow[1].rules[0];
    assert_eq!(
        rule.from[0].principals.any,
        [Pattern::Suffix("/sa/a".into())]
    );
    assert_eq!(rule.from[0].service_accounts.any, ["default/b".into()]);
    assert!(rule.needs_http());
    assert_eq!(
        rule.when[0],
        AccessCondition::Header(
            "x-a".into(),
            Values {
                any: vec![Pattern::Regex(".+".into())],
                none: vec![]
            }
        )
    );
    let broken = policy(
        "b",
        "default",
        "{rules: [{when: [{key: source.address, values: [x]}]}]}",
    );
    let (_, problems) = resolve(&[&broken]);
    assert!(
        problems[0].contains("spec.rules[0].when[0].key: unknown attribute"),
        "{problems:?}"
    );
}

#[test]
fn scopes_narrow_what_is_seen() {
    let sidecar = "\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: istio-system}
spec: {egress: [{hosts: ['./*', '*/ratings.default.svc.cluster.local']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: [default/reviews.default.svc.cluster.local]}]}
";
    let (mesh, _) = resolve(&[SERVICES, sidecar]);
    let seen = |pairs: &[(&str, &str)]| {
        let scope = mesh.scope("default", &labels(pairs));
        let services = mesh
            .services_visible_to("default")
            .filter(|s| scope.sees(s));
        let names: Vec<_> = services
            .map(|s| format!("{}/{}", s.namespace, s.name))
            .collect();
        (names.join(" "), scope.outbound)
    };
    assert_eq!(
        seen(&[]),
        ("default/ratings".into(), OutboundMode::RegistryOnly)
    );
    assert_eq!(
        seen(&[("app", "web")]),
        ("default/reviews".into(), OutboundMode::AllowAny)
    );
}

#[test]
fn gateways_keep_off_the_ports_of_proxies() {
    let gateway = |port: u16| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec:\n  \
             selector: {{a: b}}\n  servers:\n  - port: {{number: {port}, name: http, \
             protocol: HTTP}}\n    hosts: ['*']\n"
        )
    };
    for port in [
        15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090,
    ] {
        let (mesh, problems) = resolve(&[&gateway(port)]);
        assert_eq!(mesh.gateways().len(), 0);
        let want = format!(
            "mesh.yaml:7: error: Gateway default/g: spec.servers[0].port.number: \
             the proxy uses port {port} itself: "
        );
        assert!(problems[0].starts_with(&want), "{problems:?}");
    }
    // Gateways between networks are at this port.
    assert_eq!(resolve(&[&gateway(15443)]).1, [""; 0]);
}

#[test]
fn gateways_meet_their_rules() {
    let text = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 8080, name: http, protocol: HTTP}
    hosts: ['default/*.example.com', 'other/*']
  - port: {number: 8443, name: https, protocol: HTTPS}
    hosts: ['*']
    tls: {mode: SIMPLE, credentialName: cert}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [www.example.com, '*.com', example.org]
  gateways: [edge]
  http: [{route: [{destination: {host: reviews}}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
stringData: {tls.crt: c, tls.key: k}
";
    let (mesh, problems) = resolve(&[SERVICES, text]);
    assert_eq!(problems, Vec::<String>::new());
    let ingress = labels(&[("istio", "ingressgateway"), ("app", "x")]);
    let gateways: Vec<_> = mesh.gateways_of("istio-system", &ingress).collect();
    assert_eq!(gateways.len(), 1);
    assert_eq!(
        mesh.gateways_of("istio-system", &Labels::default()).count(),
        0
    );
    let gateway = gateways[0];
    let rules: Vec<_> = mesh
        .traffic_rules_for(Client::Gateway(&gateway.name))
        .collect();
    assert_eq!(
        Gateway::hosts(&gateway.servers[0], rules[0]),
        [host("www.example.com"), host("*.example.com")]
    );
    let ServerTls::End(tls) = &gateway.servers[1].tls else {
        panic!("TLS expected");
    };
    assert_eq!(
        tls.certificate,
        Some(Certificate::Credential("cert".into()))
    );
    assert_eq!(
        mesh.secret("default", "cert").unwrap().bytes("tls.key"),
        Some(&b"k"[..])
    );
    let broken = text
        .replace(", credentialName: cert", "")
        .replace("protocol: HTTP}", "protocol: HTP}");
    let (_, problems) = resolve(&[SERVICES, &broken]);
    assert!(
        problems[0].contains("spec.servers[0].port.protocol: unknown protocol \"HTP\""),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("spec.servers[1].tls: a certificate is missing"),
        "{problems:?}"
    );
}

#[test]
fn the_mesh_config_map_counts() {
    let text = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    trustDomain: example.org
    accessLogFile: /dev/stdout
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    connectTimeout: 3s
";
    let (mesh, problems) = resolve(&[text]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(mesh.defaults().trust_domain.as_str(), "example.org");
    assert_eq!(mesh.defaults().outbound, OutboundMode::RegistryOnly);
    assert_eq!(mesh.defaults().connect_timeout.as_secs(), 3);
    let (_, problems) = resolve(&[&text.replace("3s", "3")]);
    assert!(
        problems[0].starts_with("mesh.yaml:9: error: ConfigMap istio-system/istio: data.mesh: connectTimeout: 3 has no unit"),
        "{problems:?}"
    );
}

#[test]
fn virtual_addresses_stay_put() {
    let defaults = MeshDefaults {
        virtual_addresses: crate::name::IpNetwork::parse("127.240.0.0/16"),
        ..MeshDefaults::default()
    };
    let address = |set: &ConfigSet, name: &str| {
        let (mesh, _) = Mesh::resolve(set, &defaults);
        mesh.service(&full(name), "default")
            .unwrap()
            .addresses
            .clone()
    };
    let all = set(&[SERVICES]);
    let reviews = address(&all, "reviews");
    assert!(defaults.virtual_addresses.unwrap().contains(reviews[0]));
    assert_eq!(
        address(&all, "ratings"),
        ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]
    );
    let ratings = crate::name::ResourceRef::new("", "Service", "default", "ratings");
    assert_eq!(
        address(&all.apply([Change::Remove(ratings)]), "reviews"),
        reviews
    );
}

/// Istio's own samples, where they are at hand: each with the platform it is for.
#[test]
fn the_samples_of_istio_resolve() {
    let data =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/istio-samples/bookinfo");
    if !data.is_dir() {
        eprintln!("SKIPPED: {} is not there", data.display());
        return;
    }
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let platform = text(&data.join("platform/kube/bookinfo.yaml"));
    let subsets = text(&data.join("networking/destination-rule-all.yaml"));
    for entry in std::fs::read_dir(data.join("networking")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (mut set, defaults) = (ConfigSet::default(), MeshDefaults::default());
        for (file, text) in [("a", &platform), ("b", &subsets), ("c", &text(&path))] {
            let parsed = read(file, text, &defaults);
            assert_eq!(parsed.problems, [], "{name}");
            set = set.replace_file(file, &parsed).0;
        }
        let (mesh, problems) = Mesh::resolve(&set, &defaults);
        assert_eq!(mesh.services().len(), 4);
        assert_eq!(
            problems.iter().find(|problem| problem.is_error()),
            None,
            "{name}"
        );
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn edits_never_panic(at in 0..SERVICES.len(), cut in 0usize..16, put in "[-a-z:{}*.\n 0-9]{0,8}") {
            let end = (at + cut).min(SERVICES.len());
            let text = format!("{}{put}{}", &SERVICES[..at], &SERVICES[end..]);
            let defaults = MeshDefaults::default();
            let (set, _) = ConfigSet::default().replace_file("x", &read("x", &text, &defaults));
            let (_, problems) = Mesh::resolve(&set, &defaults);
            // What was broken by itself was left out before.
            prop_assert!(problems.iter().all(|problem| !problem.is_error()), "{:?}", problems);
        }

        #[test]
        fn texts_never_panic(text in "\\PC{0,30}") {
            let set = |spec: String| {
                let resource = virtual_service(&spec);
                let parsed = parse("x", &resource);
                ConfigSet::default().replace_file("x", &parsed).0
            };
            let quoted = text.replace('\'', "''");
            for spec in [
                format!("  http: [{{match: [{{uri: {{regex: '{quoted}'}}}}], route: [{{destination: {{host: '{quoted}'}}}}]}}]"),
                format!("  gateways: ['{quoted}']\n  tls: [{{match: [{{sniHosts: ['{quoted}']}}], route: [{{destination: {{host: a}}}}]}}]"),
                format!("  tcp: [{{match: [{{destinationSubnets: ['{quoted}']}}]}}]"),
            ] {
                Mesh::resolve(&set(spec), &MeshDefaults::default());
            }
        }
    }
}

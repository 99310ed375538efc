//! What DestinationRules and the mesh's defaults say of how services are called.

use std::time::Duration;

use super::town::Town;
use crate::{
    config::Problem,
    dataplane::{
        Balancing, Cluster, Fraction, HashPolicy, Http2Keepalive, ProxyProtocol, RetryBudget,
        SanMatch, SlowStart, Snapshot, TcpKeepalive, Terminal, Tunnel, UpstreamProtocol,
        UpstreamTls,
    },
    mesh::{Mesh, MeshDefaults},
    name::{Labels, Pattern},
};

const RATINGS: &str = "ratings.default.svc.cluster.local";

/// A rule for ratings, its spec in one line.
fn rule(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: {name}}}\nspec: {{host: ratings, {spec}}}\n"
    )
}

fn mesh_config(text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
         data: {{mesh: '{text}'}}\n"
    )
}

fn plan(texts: &[&str]) -> Snapshot {
    Town::bookinfo(texts).productpage()
}

fn ratings(plan: &Snapshot, subset: &str) -> Cluster {
    (*plan.clusters[&*format!("outbound|9080|{subset}|{RATINGS}")]).clone()
}

#[test]
fn every_word_on_connections_arrives() {
    let text = rule(
        "ratings",
        "trafficPolicy: {connectionPool: {\
         tcp: {maxConnections: 7, connectTimeout: 30ms, maxConnectionDuration: 1h, idleTimeout: 2m, \
         tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}, \
         http: {http2MaxRequests: 1000, maxConcurrentStreams: 10, h2UpgradePolicy: UPGRADE, \
         http2KeepAlive: {interval: 10s, timeout: 2s}}}, \
         retryBudget: {percent: 10, minRetryConcurrency: 5}, proxyProtocol: {version: V2}}",
    );
    let cluster = ratings(&plan(&[&text]), "");
    assert_eq!(cluster.limits.max_connections, Some(7));
    assert_eq!(cluster.limits.max_requests, Some(1000));
    assert_eq!(
        cluster.limits.retry_budget,
        Some(RetryBudget {
            share: Fraction::per_million(100_000),
            min_concurrency: 5
        })
    );
    let seconds = Duration::from_secs;
    assert_eq!(cluster.connect_timeout, Duration::from_millis(30));
    assert_eq!(cluster.max_connection_duration, Some(seconds(3600)));
    // The HTTP pool says nothing of idle connections: that of TCP counts.
    assert_eq!(cluster.idle_timeout, Some(seconds(120)));
    assert_eq!(
        cluster.tcp_keepalive,
        Some(TcpKeepalive {
            probes: Some(3),
            time: Some(seconds(7200)),
            interval: Some(seconds(75)),
        })
    );
    assert_eq!(cluster.protocol, UpstreamProtocol::Http2);
    assert_eq!(cluster.max_concurrent_streams, Some(10));
    assert_eq!(
        cluster.http2_keepalive,
        Some(Http2Keepalive {
            interval: seconds(10),
            timeout: seconds(2),
        })
    );
    assert_eq!(cluster.proxy_protocol, Some(ProxyProtocol::V2));
}

#[test]
fn budgets_have_defaults() {
    let text = rule("ratings", "trafficPolicy: {retryBudget: {}}");
    let budget = ratings(&plan(&[&text]), "").limits.retry_budget.unwrap();
    assert_eq!((budget.share.parts(), budget.min_concurrency), (200_000, 3));
}

#[test]
fn instances_warm_up_where_turns_or_loads_decide() {
    for (balancing, want) in [
        ("simple: ROUND_ROBIN", true),
        ("simple: LEAST_REQUEST", true),
        ("simple: RANDOM", false),
        ("consistentHash: {useSourceIp: true}", false),
    ] {
        let text = rule(
            "ratings",
            &format!(
                "trafficPolicy: {{loadBalancer: {{{balancing}, \
                 warmup: {{duration: 60s, aggression: 1.5}}}}}}"
            ),
        );
        let cluster = ratings(&plan(&[&text]), "");
        let slow = SlowStart {
            window: Duration::from_secs(60),
            aggression: 1500,
            start: Fraction::per_million(100_000),
        };
        assert_eq!(cluster.slow_start, want.then_some(slow), "{balancing}");
    }
}

#[test]
fn ports_replace_and_subsets_overlay() {
    let text = rule(
        "ratings",
        "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, \
         connectionPool: {tcp: {maxConnections: 1}}, retryBudget: {percent: 50}, \
         portLevelSettings: [{port: {number: 9080}, outlierDetection: {}}]}, \
         subsets: [{name: a, labels: {x: a}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}, \
         {name: b, labels: {x: b}, trafficPolicy: {portLevelSettings: \
         [{port: {number: 9080}, loadBalancer: {simple: RANDOM}}]}}]",
    );
    let plan = plan(&[&text]);
    let whole = ratings(&plan, "");
    // The port says neither how instances are chosen nor how many connections there may be.
    assert_eq!(whole.balancing, Balancing::LeastRequest { choices: 2 });
    assert_eq!(whole.limits.max_connections, None);
    assert!(whole.outlier.is_some());
    // A port cannot speak of budgets: that of the service counts.
    assert!(whole.limits.retry_budget.is_some());
    let a = ratings(&plan, "a");
    assert_eq!(a.balancing, Balancing::Random);
    assert!(a.outlier.is_some() && a.limits.retry_budget.is_some());
    let b = ratings(&plan, "b");
    assert_eq!((&b.balancing, b.outlier), (&Balancing::Random, None));
}

#[test]
fn cookies_keep_their_attributes() {
    let text = rule(
        "ratings",
        "trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: user, path: /, ttl: 0s, \
         attributes: [{name: SameSite, value: Strict}, {name: Secure}]}, \
         maglev: {tableSize: 251}}}}",
    );
    let plan = plan(&[&text]);
    let table = &plan.routes["9080"];
    let host = table
        .virtual_hosts
        .iter()
        .find(|host| host.name.contains("ratings"));
    let crate::dataplane::RouteAction::Forward(forward) = &host.unwrap().routes[0].action else {
        panic!("a forward")
    };
    let attributes = vec![
        ("SameSite".to_owned(), "Strict".to_owned()),
        ("Secure".to_owned(), String::new()),
    ];
    assert_eq!(
        forward.hash,
        [HashPolicy::Cookie {
            name: "user".into(),
            path: "/".into(),
            ttl: Some(Duration::ZERO),
            attributes,
        }]
    );
    assert!(
        forward
            .retry
            .as_ref()
            .is_none_or(|retry| !retry.avoid_previous_hosts)
    );
    let size = crate::dataplane::HashTable { size: 251 };
    assert_eq!(ratings(&plan, "").balancing, Balancing::Maglev(size));
}

#[test]
fn connections_go_through_tunnels() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\n\
                   spec: {clusterIP: 10.9.9.9, selector: {app: db}, ports: [{port: 5432, name: tcp}]}\n";
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: db}\n\
                spec: {host: db, trafficPolicy: {tunnel: \
                {protocol: POST, targetHost: far.org, targetPort: 443}}}\n";
    let plan = plan(&[service, rule]);
    let listener = plan
        .listeners
        .iter()
        .find(|one| &*one.name == "10.9.9.9_5432");
    let Terminal::Tcp(proxy) = &listener.unwrap().filter_chains[0].terminal else {
        panic!("bytes")
    };
    let want = Tunnel {
        target: "far.org:443".into(),
        by_post: true,
    };
    assert_eq!(proxy.tunnel, Some(want));
}

/// Blocks that a rule gives stand alone; those it does not give are the mesh's.
#[test]
fn the_mesh_has_defaults() {
    let config = mesh_config(
        "{h2UpgradePolicy: UPGRADE, tcpKeepalive: {time: 30s, probes: 9}, defaultTrafficPolicy: \
         {connectionPool: {tcp: {maxConnections: 5}, http: {http1MaxPendingRequests: 6}}, \
         outlierDetection: {consecutive5xxErrors: 2}}}",
    );
    let own = rule(
        "ratings",
        "trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {time: 10s}}}}",
    );
    let plan = plan(&[&config, &own]);
    let reviews = &plan.clusters["outbound|9080||reviews.default.svc.cluster.local"];
    assert_eq!(reviews.limits.max_connections, Some(5));
    assert_eq!(reviews.outlier.as_ref().unwrap().consecutive_5xx, 2);
    assert_eq!(reviews.protocol, UpstreamProtocol::Http2);
    let ratings = ratings(&plan, "");
    assert_eq!(ratings.limits.max_connections, None);
    assert_eq!(ratings.outlier.as_ref().unwrap().consecutive_5xx, 2);
    let probes = ratings.tcp_keepalive.unwrap();
    assert_eq!(
        (probes.probes, probes.time),
        (Some(9), Some(Duration::from_secs(10)))
    );
    // Also what nobody declared, and the application itself.
    for name in ["PassthroughCluster", "inbound|9080||"] {
        assert_eq!(
            plan.clusters[name].limits.max_pending_requests,
            Some(6),
            "{name}"
        );
        assert!(plan.clusters[name].outlier.is_none());
    }
}

/// Who sees a service that does not say, how often names are resolved, and what nobody honours.
#[test]
fn the_mesh_says_what_resources_leave_open() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {name: far, namespace: shop}\nspec: {hosts: [far.org], \
                 resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n";
    let own = entry.replace("shop", "default").replace("far", "near");
    let config = mesh_config(
        "{defaultServiceExportTo: [\".\"], dnsRefreshRate: 7s, \
         discoverySelectors: [], dnsRefeshRate: 1s, rootNamespace: istio-config, \
         extensionProviders: [{name: tracer, zipkin: {service: z, port: 1, pathPrefix: /}}], \
         defaultConfig: {tracing: {zipkin: {address: z}}, statusPort: 7}, \
         localityLbSetting: {distribut: []}, \
         zoneAwareLbSetting: {enabled: true, minClusterSize: 3}}",
    );
    let town = Town::bookinfo(&[entry, &own, &config]);
    let plan = town.productpage();
    assert!(!plan.clusters.contains_key("outbound|80||far.org"));
    let crate::dataplane::Discovery::StrictDns(dns) =
        &plan.clusters["outbound|80||near.org"].discovery
    else {
        panic!("by DNS")
    };
    assert_eq!(dns.refresh, Duration::from_secs(7));
    let (_, problems) = Mesh::resolve(&town.set, &MeshDefaults::default());
    let told = |text: &str| {
        problems
            .iter()
            .any(|problem| problem.to_string().contains(text))
    };
    for text in [
        "discoverySelectors: not supported yet",
        "dnsRefeshRate: unknown field",
        "rootNamespace: \"istio-config\" is not what this mesh runs with: \"istio-system\"",
        "extensionProviders[0].zipkin.pathPrefix: not supported yet",
        "defaultConfig.tracing.zipkin: not supported yet",
        "defaultConfig.statusPort: not supported yet",
        "localityLbSetting.distribut: unknown field",
        "zoneAwareLbSetting.minClusterSize: not supported yet",
    ] {
        assert!(told(text), "{text}: {problems:#?}");
    }
}

/// Nothing is said of probes that are followed; those no system takes are refused.
#[test]
fn probes_are_what_a_system_takes() {
    let told = |written: &str| {
        let spec =
            format!("trafficPolicy: {{connectionPool: {{tcp: {{tcpKeepalive: {written}}}}}}}");
        let town = Town::bookinfo(&[&rule("ratings", &spec)]);
        let (_, problems) = Mesh::resolve(&town.set, &MeshDefaults::default());
        let ours = problems.iter().map(ToString::to_string);
        let ours: Vec<_> = ours.filter(|text| text.contains("tcpKeepalive")).collect();
        ours.join("\n")
    };
    assert_eq!(told("{probes: 127, time: 32767s, interval: 1s}"), "");
    assert_eq!(told("{probes: 0, time: 0s}"), "");
    for (written, want) in [
        ("{probes: 128}", "probes: are more than 127"),
        ("{time: 500ms}", "time: is not between 1s and 32767s"),
        (
            "{interval: 32768s}",
            "interval: is not between 1s and 32767s",
        ),
    ] {
        let told = told(written);
        assert!(told.contains(want), "{written}: {told}");
    }
}

/// Rules of one namespace for one host: subsets of all, the policy of the oldest that has one.
#[test]
fn rules_for_one_host_are_one() {
    let base = "subsets: [{name: a, labels: {x: a}}]";
    let more = "trafficPolicy: {loadBalancer: {simple: RANDOM}}, \
                subsets: [{name: a, labels: {x: other}}, {name: b, labels: {x: b}}]";
    let plan = plan(&[&rule("ratings", base), &rule("ratings-more", more)]);
    for subset in ["", "a", "b"] {
        let cluster = ratings(&plan, subset);
        assert_eq!(cluster.balancing, Balancing::Random, "{subset}");
        let origin = cluster.metadata.origin.unwrap().to_string();
        assert!(
            origin.starts_with("DestinationRule default/ratings"),
            "{origin}"
        );
    }
}

/// A rule of the root namespace comes last, also for callers that live there.
#[test]
fn the_root_namespace_comes_last() {
    let text = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{port: 80, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: '*.local'}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hidden, namespace: shop}
spec: {host: web.shop.svc.cluster.local, exportTo: [other]}
";
    let parsed = crate::config::parse("a.yaml", text);
    let set = crate::config::ConfigSet::default()
        .replace_file("a.yaml", &parsed)
        .0;
    let (mesh, _) = Mesh::resolve(&set, &MeshDefaults::default());
    let service = mesh.services()[0].clone();
    for (namespace, want) in [
        ("shop", "web"),
        ("default", "web"),
        ("istio-system", "web"),
        // Of two as old the first by name.
        ("other", "hidden"),
    ] {
        let rule = mesh.destination_policy(&service, namespace, &Labels::default());
        let name = rule.map(|rule| &*rule.reference.name);
        assert_eq!(name, Some(want), "{namespace}");
    }
}

/// The names that a ServiceEntry gives its instances hold unless the rule gives others.
#[test]
fn names_of_the_entry_are_asked_for() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {name: far}\nspec: {hosts: [far.org], resolution: DNS, \
                 location: MESH_EXTERNAL, subjectAltNames: [cdn.org, 'spiffe://x/y'], \
                 ports: [{number: 443, name: http, protocol: HTTP}]}\n";
    for (names, want) in [
        ("[]", &["cdn.org", "spiffe://x/y"][..]),
        ("[far.org]", &["far.org"]),
    ] {
        let rule = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: far}}\n\
             spec: {{host: far.org, trafficPolicy: {{tls: {{mode: SIMPLE, \
             subjectAltNames: {names}}}}}}}\n"
        );
        let plan = plan(&[entry, &rule]);
        let UpstreamTls::Always(tls) = &plan.clusters["outbound|443||far.org"].tls else {
            panic!("TLS for all")
        };
        let validation = tls.validation.as_ref().unwrap();
        let asked = validation.names.iter().map(|name| match name {
            SanMatch::Uri(Pattern::Exact(name)) | SanMatch::Dns(Pattern::Exact(name)) => &**name,
            other => panic!("exact names: {other:?}"),
        });
        assert_eq!(asked.collect::<Vec<_>>(), want);
        assert!(!validation.match_requested_host);
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (spec, want) in [
        (
            "{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 252}}}}",
            "no prime",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}}",
            "add up to 50",
        ),
        (
            "{loadBalancer: {localityLbSetting: {distribute: [{from: a/*/c, to: {b: 100}}]}}}",
            "no place",
        ),
        (
            "{loadBalancer: {localityLbSetting: {failoverPriority: [x], \
             distribute: [{from: a, to: {b: 100}}]}}}",
            "stands alone",
        ),
        (
            "{loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}}",
            "where it comes from",
        ),
        (
            "{loadBalancer: {localityLbSetting: {}, zoneAwareLbSetting: {}}}",
            "only one of",
        ),
        ("{loadBalancer: {warmup: {}}}", "missing, or below a second"),
        (
            "{loadBalancer: {warmup: {duration: 9s, aggression: 0.5}}}",
            "not between 1 and",
        ),
        (
            "{tunnel: {protocol: PUT, targetHost: a.org, targetPort: 1}}",
            "neither CONNECT nor POST",
        ),
        ("{tunnel: {targetHost: a.org}}", "between 1 and 65535"),
        ("{retryBudget: {percent: 120}}", "no percentage"),
        (
            "{tls: {mode: SIMPLE, caCrl: /crl}}",
            "dangerous to leave out",
        ),
        (
            "{portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]}",
            "port 1 is given twice",
        ),
    ] {
        let text = rule("ratings", &format!("trafficPolicy: {spec}"));
        let found = crate::mesh::read("a.yaml", &text, &MeshDefaults::default());
        let errors: Vec<_> = found.problems.iter().filter(|p| p.is_error()).collect();
        let told = |problem: &&&Problem| problem.to_string().contains(want);
        assert!(
            errors.iter().any(|p| told(&p)),
            "{spec}: {:?}",
            found.problems
        );
        assert!(found.resources.is_empty(), "{spec}");
    }
}

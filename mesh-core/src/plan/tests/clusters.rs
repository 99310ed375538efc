use std::time::Duration;

use super::town::{Town, gateway};
use crate::{
    dataplane::{
        Balancing, CircuitLimits, Cluster, Discovery, EndpointHealth, Fraction, HashTable, Node,
        SanMatch, SecretSource, Snapshot, TlsVersion, UpstreamProtocol, UpstreamTls,
    },
    name::Pattern,
};

const REVIEWS: &str = "reviews.default.svc.cluster.local";

fn cluster<'a>(plan: &'a Snapshot, name: &str) -> &'a Cluster {
    let names = || plan.clusters.keys().collect::<Vec<_>>();
    plan.clusters
        .get(name)
        .unwrap_or_else(|| panic!("no {name}: {:?}", names()))
}

/// The plan for productpage with this DestinationRule for ratings, its spec indented by two.
fn with_rule(spec: &str) -> Snapshot {
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: ratings}}\n\
         spec:\n  host: ratings\n{spec}"
    );
    Town::bookinfo(&[&rule]).productpage()
}

fn ratings(plan: &Snapshot, subset: &str) -> Cluster {
    let name = format!("outbound|9080|{subset}|ratings.default.svc.cluster.local");
    cluster(plan, &name).clone()
}

#[test]
fn a_cluster_per_port_and_subset() {
    let plan = Town::bookinfo(&[]).productpage();
    for subset in ["", "v1", "v2", "v3"] {
        let name = format!("outbound|9080|{subset}|{REVIEWS}");
        let cluster = cluster(&plan, &name);
        assert_eq!(cluster.discovery, Discovery::Told((*name).into()));
        assert_eq!(cluster.connect_timeout, Duration::from_secs(10));
        assert_eq!(cluster.balancing, Balancing::LeastRequest { choices: 2 });
        assert_eq!(cluster.limits, CircuitLimits::default());
        assert_eq!((cluster.outlier, cluster.panic_threshold), (None, 0));
        assert_eq!(cluster.protocol, UpstreamProtocol::Http1);
        assert_eq!(cluster.metadata.subset, subset);
        assert_eq!(&*cluster.metadata.services[0].host, REVIEWS);
        assert_eq!(&*cluster.metadata.services[0].name, "reviews");
        let origin = cluster.metadata.origin.as_ref().unwrap().to_string();
        assert_eq!(origin, "DestinationRule default/reviews");
        assert!(cluster.metadata.istio_alpn);
    }
    let passthrough = cluster(&plan, "PassthroughCluster");
    assert!(matches!(
        passthrough.discovery,
        Discovery::OriginalDestination(_)
    ));
    assert_eq!(passthrough.balancing, Balancing::Provided);
    assert_eq!(passthrough.idle_timeout, Some(Duration::from_secs(300)));
    let hole = cluster(&plan, "BlackHoleCluster");
    assert!(matches!(&hole.discovery, Discovery::Static(set) if set.localities.is_empty()));
}

#[test]
fn auto_mtls() {
    let plan = Town::bookinfo(&[]).productpage();
    let UpstreamTls::ByEndpoint(ways) = &cluster(&plan, &format!("outbound|9080|v2|{REVIEWS}")).tls
    else {
        panic!("by endpoint")
    };
    let names: Vec<_> = ways.iter().map(|way| &*way.name).collect();
    assert_eq!(names, ["tlsMode-istio", "tlsMode-disabled"]);
    assert_eq!(ways[0].labels.to_string(), "tlsMode=istio");
    assert!(ways[1].labels.is_empty() && ways[1].tls.is_none());
    let tls = ways[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificates, [SecretSource::Named("default".into())]);
    let sni = format!("outbound_.9080_.v2_.{REVIEWS}");
    assert_eq!(tls.sni.as_deref(), Some(&*sni));
    assert_eq!(tls.alpn, ["istio-peer-exchange", "istio"]);
    assert_eq!(tls.min_version, TlsVersion::V1_2);
    let validation = tls.validation.as_ref().unwrap();
    assert_eq!(validation.roots, SecretSource::Named("ROOTCA".into()));
    let identity = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews";
    assert_eq!(
        validation.names,
        [SanMatch::Uri(Pattern::Exact(identity.into()))]
    );
}

/// What becomes of `tls` in a DestinationRule: server name, names, Istio's ALPN.
#[test]
fn tls_modes() {
    let host = "ratings.default.svc.cluster.local";
    for (tls, want) in [
        ("{mode: DISABLE}", None),
        (
            "{mode: ISTIO_MUTUAL}",
            Some((Some(format!("outbound_.9080_._.{host}")), 1, "spiffe", true)),
        ),
        (
            "{mode: ISTIO_MUTUAL, sni: other, subjectAltNames: ['spiffe://x/y']}",
            Some((Some("other".into()), 1, "spiffe", true)),
        ),
        ("{mode: SIMPLE}", Some((None, 0, "", false))),
        (
            "{mode: SIMPLE, sni: a.com, subjectAltNames: [a.com]}",
            Some((Some("a.com".into()), 1, "a.com", false)),
        ),
    ] {
        let plan = with_rule(&format!("  trafficPolicy:\n    tls: {tls}\n"));
        let cluster = ratings(&plan, "");
        let got = match &cluster.tls {
            UpstreamTls::Off => None,
            UpstreamTls::Always(tls) => {
                let validation = tls.validation.as_ref().unwrap();
                let name = validation.names.first().map(|name| match name {
                    SanMatch::Uri(Pattern::Exact(uri)) => uri.split("://").next().unwrap(),
                    SanMatch::Dns(Pattern::Exact(name)) => name,
                    other => panic!("exact names: {other:?}"),
                });
                let sni = tls.sni.as_ref().map(ToString::to_string);
                assert_eq!(tls.auto_sni, sni.is_none());
                assert_eq!(validation.match_requested_host, validation.names.is_empty());
                let count = validation.names.len();
                let name = name.unwrap_or_default().to_owned();
                Some((sni, count, name, cluster.metadata.istio_alpn))
            }
            UpstreamTls::ByEndpoint(_) => panic!("the rule decides"),
        };
        let want = want.map(|(sni, count, name, alpn)| (sni, count, name.to_owned(), alpn));
        assert_eq!(got, want, "{tls}");
    }
}

#[test]
fn policies_merge() {
    let plan = with_rule(
        "  trafficPolicy:\n    \
             loadBalancer: {simple: ROUND_ROBIN}\n    \
             connectionPool: {tcp: {maxConnections: 7, connectTimeout: 2s}}\n    \
             outlierDetection: {consecutive5xxErrors: 3, interval: 1s}\n  \
           subsets:\n  \
           - {name: plain, labels: {version: v1}}\n  \
           - name: own\n    \
             labels: {version: v1}\n    \
             trafficPolicy:\n      \
               loadBalancer: {consistentHash: {httpHeaderName: X-User}}\n      \
               connectionPool: {http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRetries: 3, maxRequestsPerConnection: 4, h2UpgradePolicy: UPGRADE}}\n",
    );
    let whole = ratings(&plan, "");
    assert_eq!(whole.balancing, Balancing::RoundRobin);
    assert_eq!(whole.limits.max_connections, Some(7));
    assert_eq!(whole.connect_timeout, Duration::from_secs(2));
    let outlier = whole.outlier.unwrap();
    assert_eq!(
        (outlier.consecutive_5xx, outlier.consecutive_gateway_errors),
        (3, 0)
    );
    assert_eq!(outlier.interval, Duration::from_secs(1));
    assert_eq!(outlier.base_ejection, Duration::from_secs(30));
    assert_eq!(outlier.max_ejection_percent, 10);

    let plain = ratings(&plan, "plain");
    assert_eq!(
        (plain.balancing, plain.limits),
        (whole.balancing, whole.limits)
    );

    let own = ratings(&plan, "own");
    assert_eq!(own.balancing, Balancing::RingHash(HashTable { size: 1024 }));
    // A pool replaces the inherited one whole.
    assert_eq!(
        own.limits,
        CircuitLimits {
            max_connections: None,
            max_pending_requests: Some(1),
            max_requests: Some(2),
            max_retries: Some(3),
            retry_budget: None,
        }
    );
    assert_eq!(own.connect_timeout, Duration::from_secs(10));
    assert_eq!(own.max_requests_per_connection, Some(4));
    assert_eq!(own.protocol, UpstreamProtocol::Http2);
    assert_eq!(own.outlier, whole.outlier);
}

#[test]
fn instances_with_their_identity_and_place() {
    let town = Town::bookinfo(&[]);
    let plan = town.productpage();
    let of = |subset: &str| {
        let name = format!("outbound|9080|{subset}|{REVIEWS}");
        let set = &plan.endpoints[&*name];
        assert_eq!(*set.name, *name);
        set.endpoints().cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("").len(), 3);
    let [v2] = &of("v2")[..] else {
        panic!("one instance")
    };
    assert_eq!(v2.tls_labels.to_string(), "tlsMode=istio");
    assert_eq!(v2.health, EndpointHealth::Healthy);
    let tag = v2.workload.as_ref().unwrap().to_string();
    assert_eq!(tag, "reviews-v2;default;reviews;v2;Kubernetes");
    assert!(v2.address.to_string().ends_with(":9080"));
    // A subset nobody runs has a cluster and no instance: 503 UH, not a dead name.
    let nobody = "outbound|9080|v2-mysql|ratings.default.svc.cluster.local";
    assert_eq!(plan.endpoints[nobody].endpoints().count(), 0);
}

#[test]
fn a_workload_that_takes_no_tls_is_called_in_clear_text() {
    let disable = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
                   metadata: {name: r}\nspec:\n  selector: {matchLabels: {app: reviews}}\n  \
                   mtls: {mode: DISABLE}\n";
    let plan = Town::bookinfo(&[disable]).productpage();
    let is_tls = |service: &str| {
        let name = format!("outbound|9080||{service}.default.svc.cluster.local");
        let mut instances = plan.endpoints[&*name].endpoints();
        instances.any(|instance| !instance.tls_labels.is_empty())
    };
    assert!(!is_tls("reviews"));
    assert!(is_tls("ratings"));
}

#[test]
fn names_that_dns_resolves() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {name: books}\nspec:\n  hosts: [www.googleapis.com]\n  \
                 location: MESH_EXTERNAL\n  resolution: DNS\n  \
                 ports: [{number: 443, name: https, protocol: HTTPS}]\n";
    let plan = Town::bookinfo(&[entry]).productpage();
    let books = cluster(&plan, "outbound|443||www.googleapis.com");
    let Discovery::StrictDns(dns) = &books.discovery else {
        panic!("by DNS: {:?}", books.discovery)
    };
    assert_eq!(dns.refresh, Duration::from_secs(60));
    assert!(dns.respect_ttl);
    let addresses: Vec<_> = dns
        .endpoints
        .endpoints()
        .map(|e| e.address.to_string())
        .collect();
    assert_eq!(addresses, ["www.googleapis.com:443"]);
    assert_eq!(books.tls, UpstreamTls::Off);
}

#[test]
fn roots_come_as_a_secret_and_keys_of_users_from_their_secret() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                metadata: {name: ratings}\nspec:\n  host: ratings\n  \
                trafficPolicy: {tls: {mode: MUTUAL, credentialName: shop}}\n";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: shop}\n\
                  stringData: {tls.crt: CHAIN, tls.key: KEY, ca.crt: ROOTS}\n";
    let with = Town::bookinfo(&[rule, secret]);
    let names: Vec<_> = with.productpage().secrets.into_keys().collect();
    assert_eq!(
        names,
        [
            "kubernetes://shop".into(),
            "kubernetes://shop-cacert".into()
        ]
    );

    let without = Town::bookinfo(&[rule]);
    let (_, problems) = without.plan(&without.sidecar("productpage-v1"));
    let missing = problems
        .iter()
        .filter(|problem| problem.contains("there is no Secret"));
    assert_eq!(missing.count(), 2, "{problems:?}");

    let options = crate::plan::PlanOptions {
        roots_pem: Some("PEM"),
        ..Default::default()
    };
    assert_eq!(
        options.tracing.clone().unwrap().random_sampling,
        Fraction::percent(1.0).unwrap()
    );
    let node: Node = gateway();
    let (plan, _) = crate::plan::plan(&without.mesh(), &node, &options);
    assert!(plan.secrets.contains_key("ROOTCA"));
}

/// Near instances come first, but only where failing ones are found out.
#[test]
fn priorities_follow_distance() {
    let place =
        |index: usize, locality: &str| format!("{{address: 10.0.0.{index}, locality: {locality}}}");
    let places = ["a/b/c", "a/b/d", "x/y/z", "a/b/c"];
    let endpoints: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(i, at)| place(i + 1, at))
        .collect();
    let entry = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: far}}\n\
         spec:\n  hosts: [far.org]\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: HTTP}}]\n  endpoints: [{}]\n",
        endpoints.join(", ")
    );
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: far}\n\
                spec: {host: far.org, trafficPolicy: {outlierDetection: {}}}\n";
    for (texts, want) in [
        (&[&*entry][..], [0, 0, 0]),
        (&[&*entry, rule][..], [0, 1, 2]),
    ] {
        let town = Town::bookinfo(texts);
        let mut node = town.sidecar("productpage-v1");
        node.locality.region = "a".into();
        node.locality.zone = "b".into();
        node.locality.sub_zone = "c".into();
        let (plan, _) = town.plan(&node);
        let set = &plan.endpoints["outbound|80||far.org"];
        let localities = set.localities.iter();
        let got: Vec<_> = localities
            .map(|at| (at.locality.to_string(), at.priority, at.endpoints.len()))
            .collect();
        let want = [
            ("a/b/c".to_owned(), want[0], 2),
            ("a/b/d".to_owned(), want[1], 1),
            ("x/y/z".to_owned(), want[2], 1),
        ];
        assert_eq!(got, want);
        assert_eq!(set.localities[0].weight, 2);
    }
}

#[test]
fn identities_of_other_trust_domains_that_count_as_ours() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                  data:\n  mesh: |\n    trustDomain: new.org\n    trustDomainAliases: [old.org]\n";
    let plan = Town::bookinfo(&[config]).productpage();
    let UpstreamTls::ByEndpoint(ways) = &ratings(&plan, "").tls else {
        panic!("by endpoint")
    };
    let names = &ways[0]
        .tls
        .as_ref()
        .unwrap()
        .validation
        .as_ref()
        .unwrap()
        .names;
    let want = ["new.org", "old.org"].map(|domain| {
        let identity = format!("spiffe://{domain}/ns/default/sa/bookinfo-ratings");
        SanMatch::Uri(Pattern::Exact(identity))
    });
    assert_eq!(names[..], want);
    // Nobody runs the subset yet: whoever comes must at least be one of us.
    let nobody = "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\n\
                  spec: {selector: {app: none}, ports: [{port: 80, name: http}]}\n";
    let plan = Town::bookinfo(&[nobody]).productpage();
    let empty = cluster(&plan, "outbound|80||empty.default.svc.cluster.local");
    let UpstreamTls::ByEndpoint(ways) = &empty.tls else {
        panic!("by endpoint")
    };
    let names = &ways[0]
        .tls
        .as_ref()
        .unwrap()
        .validation
        .as_ref()
        .unwrap()
        .names;
    let ours = Pattern::Prefix("spiffe://cluster.local/".into());
    assert_eq!(names[..], [SanMatch::Uri(ours)]);
}

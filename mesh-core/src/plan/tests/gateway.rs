use super::town::{Town, gateway, host, listener, listener_names, manager, proxied};
use crate::dataplane::{
    ChainMatch, ClusterChoice, Discovery, ForwardClientCert, Node, PathMatch, RouteAction,
    RouteSource, SchemeRedirect, SecretSource, TlsVersion, UpstreamTls,
};

const BOOKINFO: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: bookinfo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ['*']
  gateways: [bookinfo-gateway]
  http:
  - match: [{uri: {exact: /productpage}}, {uri: {prefix: /static}}]
    route: [{destination: {host: productpage, port: {number: 9080}}}]
";

/// The Service before the gateway: callers use 80, the proxy listens on 8080.
const BEFORE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
";

#[test]
fn a_port_with_what_is_bound_to_it() {
    let (plan, problems) = Town::bookinfo(&[BOOKINFO]).plan(&gateway());
    assert_eq!(problems, [""; 0]);
    assert_eq!(listener_names(&plan), ["0.0.0.0_80"]);
    let door = listener(&plan, "0.0.0.0_80");
    assert!(door.bind_to_port);
    let [chain] = &door.filter_chains[..] else {
        panic!("one chain")
    };
    assert_eq!(chain.matches, ChainMatch::default());
    let manager = manager(chain);
    assert_eq!(manager.routes, RouteSource::Named("http.80".into()));
    assert!(manager.use_remote_address);
    assert_eq!(manager.forward_client_cert, ForwardClientCert::SanitizeSet);
    assert_eq!(&*manager.server_name, "istio-envoy");

    let routes = &host(&plan.routes["http.80"], "*:80").routes;
    let paths: Vec<_> = routes.iter().map(|route| &route.matches.path).collect();
    assert_eq!(
        paths,
        [
            &PathMatch::Exact("/productpage".into()),
            &PathMatch::Prefix("/static".into())
        ]
    );
    let full = "productpage.default.svc.cluster.local";
    for route in routes {
        let RouteAction::Forward(forward) = &route.action else {
            panic!("forwards")
        };
        let cluster = format!("outbound|9080||{full}");
        assert_eq!(forward.cluster, ClusterChoice::Single((*cluster).into()));
        assert!(plan.clusters.contains_key(&*cluster));
    }
    let operation = format!("{full}:9080/productpage");
    assert_eq!(routes[0].operation.as_deref(), Some(&*operation));
}

#[test]
fn the_service_before_it_says_where_it_listens() {
    let (plan, _) = Town::bookinfo(&[BOOKINFO, BEFORE]).plan(&gateway());
    assert_eq!(listener_names(&plan), ["0.0.0.0_8080"]);
    assert!(plan.routes.contains_key("http.8080"));
}

#[test]
fn other_proxies_open_nothing() {
    let other = Node {
        labels: [("istio", "egressgateway")].into_iter().collect(),
        ..gateway()
    };
    let (plan, problems) = Town::bookinfo(&[BOOKINFO]).plan(&other);
    assert_eq!(listener_names(&plan), [""; 0]);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn without_rules_every_request_gets_a_404() {
    let unbound = BOOKINFO.replace("gateways: [bookinfo-gateway]", "gateways: [other]");
    let (plan, _) = Town::bookinfo(&[&unbound]).plan(&gateway());
    let nothing = host(&plan.routes["http.80"], "blackhole:80");
    assert_eq!(nothing.domains, ["*"]);
    assert!(nothing.routes.is_empty());
}

const SECURE: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.org], tls: {httpsRedirect: true}}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.org], tls: {mode: SIMPLE, credentialName: a}}
  - {port: {number: 443, name: mutual, protocol: HTTPS}, hosts: ['*.b.org'], tls: {mode: MUTUAL, credentialName: b, minProtocolVersion: TLSV1_3}}
  - {port: {number: 444, name: pass, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}
  - {port: {number: 3306, name: db, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secure}
spec:
  hosts: [a.org, w.b.org]
  gateways: [secure]
  http: [{route: [{destination: {host: details}}]}]
  tls: [{match: [{port: 444, sniHosts: [a.org]}], route: [{destination: {host: details}}]}]
  tcp: [{match: [{port: 3306}], route: [{destination: {host: ratings}}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: a, namespace: istio-system}
stringData: {tls.crt: A, tls.key: KEY}
---
apiVersion: v1
kind: Secret
metadata: {name: b, namespace: istio-system}
stringData: {tls.crt: B, tls.key: KEY, ca.crt: ROOTS}
";

#[test]
fn secure_ports() {
    let (plan, problems) = Town::bookinfo(&[SECURE]).plan(&gateway());
    assert_eq!(problems, [""; 0]);
    let redirect = &host(&plan.routes["http.80"], "a.org:80").routes[0];
    assert!(
        matches!(&redirect.action, RouteAction::Redirect(to) if to.scheme == SchemeRedirect::Https)
    );

    let door = listener(&plan, "0.0.0.0_443");
    assert!(door.listener_filters.tls_inspector);
    let told: Vec<_> = door
        .filter_chains
        .iter()
        .map(|chain| {
            let tls = chain.tls.as_ref().unwrap();
            let RouteSource::Named(routes) = &manager(chain).routes else {
                panic!("by name")
            };
            let names = chain.matches.server_names.join(",");
            let certificate = format!("{:?}", tls.certificates[0]);
            (
                names,
                certificate,
                tls.require_client_certificate,
                tls.min_version,
                &**routes,
            )
        })
        .collect();
    let named = |name: &str| format!("{:?}", SecretSource::Named(name.into()));
    assert_eq!(
        told,
        [
            (
                "a.org".into(),
                named("kubernetes://a"),
                false,
                TlsVersion::V1_2,
                "https.443.https.secure.default"
            ),
            (
                "*.b.org".into(),
                named("kubernetes://b"),
                true,
                TlsVersion::V1_3,
                "https.443.mutual.secure.default"
            ),
        ]
    );
    let secrets: Vec<_> = plan.secrets.keys().map(|name| &**name).collect();
    assert_eq!(
        secrets,
        ["kubernetes://a", "kubernetes://b", "kubernetes://b-cacert"]
    );
    assert_eq!(
        host(
            &plan.routes["https.443.mutual.secure.default"],
            "w.b.org:443"
        )
        .domains,
        ["w.b.org"]
    );

    let passed = &listener(&plan, "0.0.0.0_444").filter_chains[0];
    assert_eq!(
        (passed.matches.server_names.join(","), passed.tls.is_none()),
        ("a.org".into(), true)
    );
    assert_eq!(
        proxied(passed),
        "outbound|9080||details.default.svc.cluster.local"
    );
    let bytes = &listener(&plan, "0.0.0.0_3306").filter_chains[0];
    assert_eq!(
        proxied(bytes),
        "outbound|9080||ratings.default.svc.cluster.local"
    );
}

/// Between networks: names of destinations are asked for, and nothing is ended on the way.
#[test]
fn passes_on_by_the_name_of_the_destination() {
    let text = "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
        metadata: {name: cross-network, namespace: istio-system}\n\
        spec: {selector: {istio: ingressgateway}, servers: \
        [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ['*.local'], \
        tls: {mode: AUTO_PASSTHROUGH}}]}\n";
    let town = Town::bookinfo(&[text]);
    let (plan, problems) = town.plan(&gateway());
    assert_eq!(problems, [""; 0]);
    let crossing = listener(&plan, "0.0.0.0_15443");
    assert!(crossing.listener_filters.tls_inspector);
    let mut names: Vec<_> = crossing
        .filter_chains
        .iter()
        .map(|chain| {
            assert!(chain.tls.is_none());
            assert_eq!(
                chain.matches.application_protocols,
                [
                    "istio",
                    "istio-peer-exchange",
                    "istio-http/1.0",
                    "istio-http/1.1",
                    "istio-h2"
                ]
            );
            assert_eq!(chain.matches.server_names, [proxied(chain)]);
            proxied(chain)
        })
        .collect();
    names.sort_unstable();
    let reviews =
        |subset: &str| format!("outbound_.9080_.{subset}_.reviews.default.svc.cluster.local");
    for subset in ["", "v1", "v2", "v3"] {
        assert!(names.contains(&&*reviews(subset)), "{subset}: {names:?}");
    }
    let name = &*reviews("v2");
    let cluster = &plan.clusters[name];
    assert_eq!(cluster.discovery, Discovery::Told(name.into()));
    assert_eq!(cluster.tls, UpstreamTls::Off);
    let instances = |name: &str| {
        let set = plan.endpoints[name].endpoints();
        set.map(|endpoint| endpoint.address.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        instances(name),
        instances("outbound|9080|v2|reviews.default.svc.cluster.local")
    );
    // Nobody else has destinations under such names.
    let (plan, _) = Town::bookinfo(&[]).plan(&gateway());
    assert!(!plan.clusters.contains_key(name));
}

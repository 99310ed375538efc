//! Who is at the other end.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::Response;
use mesh_ca::{Authority, IssuancePolicy};
use mesh_core::{
    dataplane::{
        ChainMatch, ClientTls, Cluster, Direction, Discovery, ForwardClientCert, HttpFilter,
        ListenerFilters, PeerValidation, SanMatch, Secret, SecretSource, SecretValue, ServerTls,
        ServiceRef, Snapshot, Terminal, TlsVersion, TransportProtocol, UpstreamTls, WorkloadTag,
    },
    identity::{SpiffeId, TrustDomain},
    name::Pattern,
};
use mesh_proxy::admin::Pages;
use mesh_tls::{CredentialsReader, TlsContext};
use rustls_pki_types::UnixTime;
use tokio_rustls::rustls::time_provider::TimeProvider;

use crate::{
    plans::{chain, cluster, http, listener, outbound, plan, respond, route, to},
    running::{Running, Setup},
    wire::{Origin, Sample, full, get, get_with, raw},
};

const CALLER: &str = "spiffe://cluster.local/ns/default/sa/caller";
const REVIEWS: &str = "spiffe://cluster.local/ns/default/sa/reviews";

/// A clock that shows a moment in the past.
#[derive(Debug)]
struct Past(Duration);

impl TimeProvider for Past {
    fn current_time(&self) -> Option<UnixTime> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Some(UnixTime::since_unix_epoch(now - self.0))
    }
}

struct Trust {
    authority: Authority,
    yesterday: Authority,
}

impl Trust {
    fn new() -> Self {
        let past = TlsContext::aws_lc().with_clock(Arc::new(Past(Duration::from_secs(48 * 3_600))));
        let domain = TrustDomain::default();
        let pem = Authority::generate(&domain, &past).unwrap();
        let policy = IssuancePolicy::default();
        Self {
            authority: Authority::new(domain.clone(), &pem, policy, TlsContext::aws_lc()).unwrap(),
            yesterday: Authority::new(domain, &pem, policy, past).unwrap(),
        }
    }

    fn issue(&self, identity: &str) -> CredentialsReader {
        let identity: SpiffeId = identity.parse().unwrap();
        CredentialsReader::fixed(self.authority.credentials(&identity).unwrap())
    }

    fn issue_expired(&self, identity: &str) -> CredentialsReader {
        let identity: SpiffeId = identity.parse().unwrap();
        CredentialsReader::fixed(self.yesterday.credentials(&identity).unwrap())
    }
}

fn validation(names: Vec<SanMatch>) -> Option<PeerValidation> {
    Some(PeerValidation {
        roots: SecretSource::mesh_roots(),
        names,
        match_requested_host: false,
    })
}

fn strict(names: Vec<SanMatch>) -> ServerTls {
    ServerTls {
        certificates: vec![SecretSource::own_certificate()],
        validation: validation(names),
        require_client_certificate: true,
        alpn: vec!["istio-http/1.1".into(), "http/1.1".into()],
        min_version: TlsVersion::V1_2,
    }
}

fn reviews_service() -> ServiceRef {
    ServiceRef {
        host: "reviews.default.svc.cluster.local".into(),
        name: "reviews".into(),
        namespace: "default".into(),
    }
}

/// The side of reviews: a listener that ends mutual TLS and passes on to the application.
async fn destination(app: SocketAddr, credentials: CredentialsReader, tls: ServerTls) -> Running {
    let mut serving = http(vec![to("app")]);
    serving.forward_client_cert = ForwardClientCert::AppendForward;
    serving.filters.push(HttpFilter::IstioStats);
    let over_tls = ChainMatch {
        transport: Some(TransportProtocol::Tls),
        ..ChainMatch::default()
    };
    let mut only = chain("mtls", over_tls, Terminal::Http(serving));
    only.tls = Some(tls);
    let mut main = listener("main", Direction::Inbound, vec![only]);
    main.listener_filters = ListenerFilters {
        tls_inspector: true,
        ..ListenerFilters::default()
    };
    let mut inbound = cluster("inbound|9080||", &[app]);
    inbound.name = "app".into();
    inbound.metadata.services.push(reviews_service());
    let setup = Setup {
        workload: "reviews",
        credentials: Some(credentials),
        ..Setup::default()
    };
    Running::with(setup, &plan(vec![main], vec![inbound])).await
}

fn mutual(instance: SocketAddr, expected: &str) -> Cluster {
    let mut planned = cluster("reviews", &[instance]);
    planned.tls = UpstreamTls::Always(ClientTls {
        certificates: vec![SecretSource::own_certificate()],
        validation: validation(vec![SanMatch::Uri(Pattern::Exact(expected.into()))]),
        sni: Some("outbound_.9080_._.reviews.default.svc.cluster.local".into()),
        auto_sni: false,
        alpn: Vec::new(),
        min_version: TlsVersion::V1_2,
    });
    planned.metadata.istio_alpn = true;
    planned.metadata.services.push(reviews_service());
    let Discovery::Static(set) = &mut planned.discovery else {
        unreachable!()
    };
    set.localities[0].endpoints[0].workload =
        WorkloadTag::parse("reviews;default;reviews;v1;Kubernetes");
    planned
}

async fn source(instance: SocketAddr, credentials: CredentialsReader, expected: &str) -> Running {
    let plan = plan(
        vec![outbound(http(vec![to("reviews")]))],
        vec![mutual(instance, expected)],
    );
    let setup = Setup {
        credentials: Some(credentials),
        ..Setup::default()
    };
    Running::with(setup, &plan).await
}

fn series<'a>(samples: &'a [Sample], name: &str) -> &'a Sample {
    let found: Vec<_> = samples
        .iter()
        .filter(|sample| sample.name == name)
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]
}

#[tokio::test]
async fn a_pair_proves_itself_and_counts_with_istios_labels() {
    let trust = Trust::new();
    let app = Origin::saying(200, "reviews").await;
    let destination = destination(app.address, trust.issue(REVIEWS), strict(vec![])).await;
    let source = source(destination.main(), trust.issue(CALLER), REVIEWS).await;
    let answer = get_with(
        source.main(),
        "/",
        &[("x-forwarded-client-cert", "By=forged")],
    )
    .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "reviews"));
    assert_eq!(answer.header("x-envoy-peer-metadata"), None);
    let seen = &app.seen()[0];
    let cert = seen.header("x-forwarded-client-cert").unwrap();
    assert!(cert.starts_with(&format!("By={REVIEWS};Hash=")), "{cert}");
    assert!(
        cert.ends_with(&format!(";URI={CALLER}")) && !cert.contains("forged"),
        "{cert}"
    );
    assert_eq!(seen.header("x-envoy-peer-metadata"), None);
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    let common = [
        ("source_workload", "caller"),
        ("source_workload_namespace", "default"),
        ("source_principal", CALLER),
        ("source_app", "caller"),
        ("source_version", "v1"),
        ("source_canonical_service", "caller"),
        ("source_canonical_revision", "v1"),
        ("source_cluster", "Kubernetes"),
        ("destination_workload", "reviews"),
        ("destination_workload_namespace", "default"),
        ("destination_principal", REVIEWS),
        ("destination_app", "reviews"),
        ("destination_version", "v1"),
        ("destination_service", "reviews.default.svc.cluster.local"),
        ("destination_service_name", "reviews"),
        ("destination_service_namespace", "default"),
        ("destination_canonical_service", "reviews"),
        ("destination_canonical_revision", "v1"),
        ("destination_cluster", "Kubernetes"),
        ("request_protocol", "http"),
        ("response_code", "200"),
        ("response_flags", "-"),
        ("grpc_response_status", ""),
    ];
    for (side, reporter, security) in [
        (&source, "source", "unknown"),
        (&destination, "destination", "mutual_tls"),
    ] {
        let samples = side.metrics().await;
        let total = series(&samples, "istio_requests_total");
        assert_eq!(total.value, 1.0);
        let duration = series(&samples, "istio_request_duration_milliseconds_count");
        assert_eq!((duration.value, &duration.labels), (1.0, &total.labels));
        let own = [
            ("reporter", reporter),
            ("connection_security_policy", security),
        ];
        let want = common
            .iter()
            .chain(&own)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        assert_eq!(total.labels, want.collect());
    }
}

#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let (trust, elsewhere) = (Trust::new(), Trust::new());
    let only_admin = vec![SanMatch::Uri(Pattern::Exact(
        "spiffe://cluster.local/ns/default/sa/admin".into(),
    ))];
    for (name, caller, reviews, expected, names, status) in [
        (
            "good",
            trust.issue(CALLER),
            trust.issue(REVIEWS),
            REVIEWS,
            vec![],
            200,
        ),
        (
            "server is somebody else",
            trust.issue(CALLER),
            trust.issue(CALLER),
            REVIEWS,
            vec![],
            503,
        ),
        (
            "caller is not welcome",
            trust.issue(CALLER),
            trust.issue(REVIEWS),
            REVIEWS,
            only_admin,
            503,
        ),
        (
            "caller has expired",
            trust.issue_expired(CALLER),
            trust.issue(REVIEWS),
            REVIEWS,
            vec![],
            503,
        ),
        (
            "server has expired",
            trust.issue(CALLER),
            trust.issue_expired(REVIEWS),
            REVIEWS,
            vec![],
            503,
        ),
        (
            "caller from elsewhere",
            elsewhere.issue(CALLER),
            trust.issue(REVIEWS),
            REVIEWS,
            vec![],
            503,
        ),
    ] {
        let app = Origin::saying(200, "").await;
        let destination = destination(app.address, reviews, strict(names)).await;
        let mut source = source(destination.main(), caller, expected).await;
        assert_eq!(get(source.main(), "/").await.status, status, "{name}");
        let told = source.told().await;
        let flags = if status == 200 {
            &["-"][..]
        } else {
            &["UF", "UC"]
        };
        assert!(flags.contains(&told.flags.as_str()), "{name}: {told:?}");
        assert_eq!(app.seen().len(), usize::from(status == 200), "{name}");
    }
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_required() {
    let trust = Trust::new();
    let app = Origin::saying(200, "").await;
    let mut destination = destination(app.address, trust.issue(REVIEWS), strict(vec![])).await;
    let head = b"GET / HTTP/1.1\r\nHost: reviews\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(destination.main(), head).await, "");
    assert_eq!(destination.told().await.details, "filter_chain_not_found");
    assert!(app.seen().is_empty());
}

#[tokio::test]
async fn chains_are_chosen_by_server_name_and_alpn() {
    let trust = Trust::new();
    let mut chains = Vec::new();
    for (name, sni, alpn) in [
        (
            "by-sni",
            Some("outbound_.9080_._.reviews.default.svc.cluster.local"),
            None,
        ),
        ("by-alpn", None, Some("istio-http/1.1")),
        ("any", None, None),
    ] {
        let matches = ChainMatch {
            server_names: sni.map(str::to_owned).into_iter().collect(),
            application_protocols: alpn.map(str::to_owned).into_iter().collect(),
            ..ChainMatch::default()
        };
        let terminal = Terminal::Http(http(vec![route("/", respond(200, name))]));
        let mut chain = chain(name, matches, terminal);
        chain.tls = Some(strict(vec![]));
        chains.push(chain);
    }
    for (istio_alpn, sni, want) in [
        (
            true,
            Some("outbound_.9080_._.reviews.default.svc.cluster.local"),
            "by-sni",
        ),
        (true, Some("other"), "by-alpn"),
        (false, Some("other"), "any"),
        (false, None, "any"),
    ] {
        let mut main = listener("main", Direction::Inbound, chains.clone());
        main.listener_filters.tls_inspector = true;
        let setup = Setup {
            credentials: Some(trust.issue(REVIEWS)),
            ..Setup::default()
        };
        let serving = Running::with(setup, &plan(vec![main], vec![])).await;
        let mut calling = mutual(serving.main(), REVIEWS);
        calling.metadata.istio_alpn = istio_alpn;
        let UpstreamTls::Always(tls) = &mut calling.tls else {
            unreachable!()
        };
        tls.sni = sni.map(Into::into);
        let setup = Setup {
            credentials: Some(trust.issue(CALLER)),
            ..Setup::default()
        };
        let plan = plan(vec![outbound(http(vec![to("reviews")]))], vec![calling]);
        let source = Running::with(setup, &plan).await;
        assert_eq!(get(source.main(), "/").await.text(), want);
    }
}

/// A certificate as PEM texts, made for a name.
fn web_certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn secrets_that_change_take_effect_and_keys_are_shown_nowhere() {
    let (first, second) = (web_certificate("shop"), web_certificate("shop"));
    let app = Origin::start(false, |_| Response::new(full("shop"))).await;
    let version = |server: &(String, String), trusted: &(String, String)| -> Snapshot {
        let mut only = chain(
            "web",
            ChainMatch::default(),
            Terminal::Http(http(vec![to("app")])),
        );
        only.tls = Some(ServerTls {
            certificates: vec![SecretSource::Named("shop-cert".into())],
            validation: None,
            require_client_certificate: false,
            alpn: vec![],
            min_version: TlsVersion::V1_2,
        });
        let mut plan = plan(
            vec![listener("main", Direction::Inbound, vec![only])],
            vec![cluster("app", &[app.address])],
        );
        let (chain, key) = server.clone();
        let roots = trusted.0.clone();
        for (name, value) in [
            ("shop-cert", SecretValue::Certificate { chain, key }),
            ("shop-roots", SecretValue::TrustBundle { roots }),
        ] {
            let secret = Secret {
                name: name.into(),
                value,
            };
            plan.secrets.insert(name.into(), Arc::new(secret));
        }
        plan
    };
    let server = Running::start(&version(&first, &first)).await;
    let client_plan = |trusted: &(String, String)| -> Snapshot {
        let mut shop = cluster("shop", &[server.main()]);
        shop.tls = UpstreamTls::Always(ClientTls {
            certificates: vec![],
            validation: Some(PeerValidation {
                roots: SecretSource::Named("shop-roots".into()),
                names: vec![SanMatch::Dns(Pattern::Exact("shop".into()))],
                match_requested_host: false,
            }),
            sni: Some("shop".into()),
            auto_sni: false,
            alpn: vec![],
            min_version: TlsVersion::V1_2,
        });
        let mut plan = plan(vec![outbound(http(vec![to("shop")]))], vec![shop]);
        plan.secrets = version(&first, trusted).secrets;
        plan
    };
    let client = Running::start(&client_plan(&first)).await;
    assert_eq!(get(client.main(), "/").await.text(), "shop");
    // The server changes first: its caller does not know it any more, until its roots change too.
    server.proxy.apply(&version(&second, &first)).await;
    client.proxy.apply(&client_plan(&second)).await;
    assert_eq!(get(client.main(), "/").await.text(), "shop");
    client.proxy.apply(&client_plan(&first)).await;
    assert_eq!(get(client.main(), "/").await.status, 503);
    for path in ["/config_dump", "/certs", "/listeners", "/clusters"] {
        let text = server.page(Pages::All, path).await.text();
        let key = second.1.lines().nth(1).unwrap();
        assert!(
            !text.contains("PRIVATE KEY") && !text.contains(key),
            "{path}"
        );
    }
    assert!(!format!("{:?}", server.handle.live()).contains("PRIVATE KEY"));
}

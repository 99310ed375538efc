//! Who may call whom, at the door of a workload: callers that bring certificates of their own.

use std::{
    error::Error,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use mesh_ca::{Authority, Csr, IssuancePolicy};
use mesh_core::identity::SpiffeId;
use mesh_tls::{
    ClientSecurity, ClientSettings, Connector, Credentials, CredentialsReader, ExpectedIdentities,
    KeyedCertificate, TlsContext, TlsVersions, TrustBundles,
};
use rcgen::{CertificateParams, KeyPair};
use tokio::{net::TcpStream, time::timeout};

use crate::harness::{LIMIT, Town};

fn account(name: &str) -> SpiffeId {
    let id = format!("spiffe://cluster.local/ns/default/sa/bookinfo-{name}");
    id.parse().expect("an identity")
}

/// A certificate of this authority, for a caller who trusts those roots.
fn issued(
    authority: &Authority,
    roots: &TrustBundles,
    who: &SpiffeId,
    lifetime: Duration,
) -> Credentials {
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key);
    let csr = Csr::from_der(request.expect("a request").der()).expect("it can be read");
    let issued = authority.issue(&csr, who, Some(lifetime));
    let chain = issued.expect("a certificate").to_pem().concat();
    let (key, tls) = (key.serialize_pem(), TlsContext::aws_lc());
    let certificate = KeyedCertificate::from_pem(chain.as_bytes(), key.as_bytes(), tls.provider());
    Credentials::new(certificate.expect("they fit"), roots.clone()).expect("an SVID")
}

/// Asks reviews for reviews as this caller, who expects that identity.
async fn ask(
    town: &Town,
    credentials: Credentials,
    expected: SpiffeId,
) -> Result<StatusCode, Box<dyn Error>> {
    let pod = town.mesh.pod("reviews-v1").ok_or("reviews runs")?;
    let settings = ClientSettings {
        server_name: Some("outbound_.9080_._.reviews.default.svc.cluster.local".into()),
        alpn: vec![
            b"istio-http/1.1".to_vec(),
            b"istio".to_vec(),
            b"http/1.1".to_vec(),
        ],
        versions: TlsVersions::Both,
        security: ClientSecurity::Mesh {
            credentials: CredentialsReader::fixed(credentials),
            servers: ExpectedIdentities::exactly(expected),
        },
    };
    let connector = Connector::new(settings, TlsContext::aws_lc())?;
    let stream = TcpStream::connect(SocketAddr::from((pod.address, 9080))).await?;
    let asked = async {
        let (stream, _) = connector.connect(stream).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/reviews/0").header("host", "reviews:9080");
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?;
        Ok(answer.status())
    };
    timeout(LIMIT, asked).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_proves_to_be_somebody_else_gets_in() {
    const HOUR: Duration = Duration::from_secs(3600);
    let town = Town::bookinfo("identity").await;
    let authority = town.mesh.authority();
    let roots = authority.bundles();
    let reviews = || account("reviews");
    let brings = |name: &str| issued(authority, roots, &account(name), HOUR);
    let ended = issued(
        authority,
        roots,
        &account("productpage"),
        Duration::from_secs(1),
    );

    let page = ask(&town, brings("productpage"), reviews()).await;
    assert_eq!(page.expect("who may call is answered"), StatusCode::OK);
    let ratings = ask(&town, brings("ratings"), reviews()).await;
    assert_eq!(
        ratings.expect("who may not is told so"),
        StatusCode::FORBIDDEN
    );

    let mistaken = ask(&town, brings("productpage"), account("ratings")).await;
    let refusal = mistaken.expect_err("the caller hangs up").to_string();
    assert!(refusal.contains("bookinfo-reviews"), "{refusal}");

    let tls = TlsContext::aws_lc();
    let pem = Authority::generate(authority.trust_domain(), &tls).expect("another root");
    let policy = IssuancePolicy::default();
    let other = Authority::new(authority.trust_domain().clone(), &pem, policy, tls);
    let other = other.expect("another authority");
    let forged = issued(&other, roots, &account("productpage"), HOUR);
    assert!(ask(&town, forged, reviews()).await.is_err());

    // Validity has whole seconds: one more, and it is over for certain.
    let end = ended.facts().not_after + Duration::from_secs(1);
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left).await;
    assert!(ask(&town, ended, reviews()).await.is_err());
    town.end().await;
}

/// A DestinationRule that expects somebody else: every caller hangs up on the real one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unexpected_server_is_not_spoken_to() {
    let town = Town::bookinfo("unexpected").await;
    let rules = town.read("destination-rules.yaml");
    let wary = rules.replace(
        "  host: details\n",
        "  host: details\n  trafficPolicy:\n    tls:\n      mode: ISTIO_MUTUAL\n      \
         subjectAltNames: [spiffe://cluster.local/ns/default/sa/somebody-else]\n",
    );
    town.write("destination-rules.yaml", &wary).await;
    let report = town.walk().await;
    let wanted = "503, details-v1 refuses";
    let found = report
        .findings
        .iter()
        .any(|finding| finding.check.to == "details" && finding.check.promise() == wanted);
    assert!(found && report.is_as_expected(), "{report}");
    town.end().await;
}

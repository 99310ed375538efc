//! Whole handshakes between an acceptor and a connector.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use mesh_core::identity::SpiffeId;
use mesh_tls::{
    Acceptor, ClientSecurity, ClientSettings, Connector, Credentials, CredentialsReader,
    CredentialsWriter, ExpectedIdentities, HANDSHAKE_TIMEOUT, HandshakeError, MeshClients, Peer,
    ServerSecurity, ServerSettings, SettingsError, SvidVerifier, TlsContext, TlsStream, TlsVersion,
    TlsVersions, VerifyError, WebClients, WebRoots, WebServers,
};
use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use crate::mint::{DNS, Signer, URI, names};

const WEB: &str = "spiffe://td/ns/default/sa/web";
const SHOP: &str = "spiffe://td/ns/default/sa/shop";

type Side = Result<(TlsStream<DuplexStream>, Peer), HandshakeError>;

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

fn exactly(text: &str) -> ExpectedIdentities {
    ExpectedIdentities::exactly(id(text))
}

fn fixed(credentials: Credentials) -> CredentialsReader {
    CredentialsReader::fixed(credentials)
}

fn acceptor(security: ServerSecurity) -> Acceptor {
    let settings = ServerSettings {
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        versions: TlsVersions::Both,
        security,
    };
    Acceptor::new(settings, TlsContext::aws_lc()).unwrap()
}

fn strict(credentials: CredentialsReader, clients: ExpectedIdentities) -> Acceptor {
    let clients = MeshClients::Identified(clients);
    acceptor(ServerSecurity::Mesh {
        credentials,
        clients,
    })
}

fn connector(server_name: Option<&str>, security: ClientSecurity) -> Connector {
    let settings = ClientSettings {
        server_name: server_name.map(str::to_owned),
        alpn: vec![b"istio".to_vec(), b"http/1.1".to_vec()],
        versions: TlsVersions::Both,
        security,
    };
    Connector::new(settings, TlsContext::aws_lc()).unwrap()
}

fn mutual(credentials: CredentialsReader, servers: ExpectedIdentities) -> Connector {
    let name = "outbound_.9080_._.web.default.svc.cluster.local";
    connector(
        Some(name),
        ClientSecurity::Mesh {
            credentials,
            servers,
        },
    )
}

async fn shake(connector: &Connector, acceptor: &Acceptor) -> (Side, Side) {
    let (near, far) = duplex(64 * 1024);
    tokio::join!(connector.connect(near), acceptor.accept(far))
}

async fn echo(near: &mut TlsStream<DuplexStream>, far: &mut TlsStream<DuplexStream>) {
    near.write_all(b"hello").await.unwrap();
    near.flush().await.unwrap();
    let mut seen = [0; 5];
    far.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"hello");
}

fn refusal(side: Side) -> VerifyError {
    match side.map(drop).unwrap_err() {
        HandshakeError::Refused(error) => error,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn both_sides_know_each_other() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), exactly(SHOP));
    let client = mutual(fixed(root.credentials(SHOP)), exactly(WEB));
    let (near, far) = shake(&client, &server).await;
    let ((mut near, seen_by_client), (mut far, seen_by_server)) = (near.unwrap(), far.unwrap());
    echo(&mut near, &mut far).await;

    assert_eq!(seen_by_client.identity, Some(id(WEB)));
    assert_eq!(seen_by_server.identity, Some(id(SHOP)));
    for peer in [&seen_by_client, &seen_by_server] {
        assert_eq!(peer.alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(peer.version, TlsVersion::Tls13);
        let name = Some("outbound_.9080_._.web.default.svc.cluster.local");
        assert_eq!(peer.server_name.as_deref(), name);
    }
    let certificate = seen_by_server.certificate.unwrap();
    assert_eq!(certificate.facts.uris, [SHOP]);
    assert_ne!(certificate.sha256, [0; 32]);
}

#[tokio::test]
async fn each_version_works_alone() {
    let root = Signer::root();
    for (versions, want) in [
        (TlsVersions::Only12, TlsVersion::Tls12),
        (TlsVersions::Only13, TlsVersion::Tls13),
    ] {
        let settings = ServerSettings {
            alpn: vec![],
            versions,
            security: ServerSecurity::Mesh {
                credentials: fixed(root.credentials(WEB)),
                clients: MeshClients::Identified(ExpectedIdentities::Any),
            },
        };
        let server = Acceptor::new(settings, TlsContext::aws_lc()).unwrap();
        let client = mutual(fixed(root.credentials(SHOP)), exactly(WEB));
        let (near, far) = shake(&client, &server).await;
        assert_eq!(near.unwrap().1.version, want);
        assert_eq!(far.unwrap().1.identity, Some(id(SHOP)));
    }
}

#[tokio::test]
async fn the_wrong_server_is_refused() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let client = mutual(fixed(root.credentials(SHOP)), exactly("spiffe://td/other"));
    let (near, far) = shake(&client, &server).await;
    let error = refusal(near);
    assert!(matches!(error, VerifyError::Unexpected { .. }), "{error}");
    let text = format!("the peer is {WEB}, expected was spiffe://td/other");
    assert_eq!(error.to_string(), text);
    assert!(far.is_err());
}

#[tokio::test]
async fn the_wrong_client_is_refused() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), exactly("spiffe://td/other"));
    let client = mutual(fixed(root.credentials(SHOP)), exactly(WEB));
    let (near, far) = shake(&client, &server).await;
    let error = refusal(far);
    assert!(matches!(error, VerifyError::Unexpected { .. }), "{error}");
    // In TLS 1.3 a client has finished before the server judges it: it learns when it reads.
    let (mut near, _) = near.unwrap();
    assert!(near.read_u8().await.is_err());
}

#[tokio::test]
async fn outdated_certificates_are_refused() {
    let root = Signer::root();
    let expired = |uri| {
        let keyed = root.keyed(uri, |params| {
            params.not_after = (SystemTime::now() - Duration::from_secs(5)).into();
        });
        fixed(Credentials::new(keyed, root.bundles("td")).unwrap())
    };
    let good = |uri| fixed(root.credentials(uri));

    let server = strict(good(WEB), ExpectedIdentities::Any);
    let client = mutual(expired(SHOP), ExpectedIdentities::Any);
    let (_, far) = shake(&client, &server).await;
    assert_eq!(refusal(far), VerifyError::Expired(id(SHOP)));

    let server = strict(expired(WEB), ExpectedIdentities::Any);
    let client = mutual(good(SHOP), ExpectedIdentities::Any);
    let (near, _) = shake(&client, &server).await;
    assert_eq!(refusal(near), VerifyError::Expired(id(WEB)));
}

#[tokio::test]
async fn strangers_are_refused() {
    let (ours, theirs) = (Signer::root(), Signer::root());
    let server = strict(fixed(ours.credentials(WEB)), ExpectedIdentities::Any);
    let stranger = |uri| {
        let keyed = theirs.keyed(uri, |_| {});
        let credentials = Credentials::new(keyed, ours.bundles("td")).unwrap();
        mutual(fixed(credentials), ExpectedIdentities::Any)
    };
    let (_, far) = shake(&stranger("spiffe://elsewhere/x"), &server).await;
    let elsewhere = "elsewhere".parse().unwrap();
    assert_eq!(refusal(far), VerifyError::UnknownTrustDomain(elsewhere));
    let (_, far) = shake(&stranger(SHOP), &server).await;
    assert!(matches!(refusal(far), VerifyError::Chain { .. }));
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let root = Signer::root();
    let bootstrap = connector(
        None,
        ClientSecurity::Bootstrap {
            bundles: root.bundles("td"),
            servers: exactly(WEB),
        },
    );
    let server = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let (_, far) = shake(&bootstrap, &server).await;
    assert_eq!(refusal(far), VerifyError::NoCertificate);

    let lenient = acceptor(ServerSecurity::Mesh {
        credentials: fixed(root.credentials(WEB)),
        clients: MeshClients::IdentifiedOrAnonymous(exactly(SHOP)),
    });
    let (near, far) = shake(&bootstrap, &lenient).await;
    assert_eq!(near.unwrap().1.identity, Some(id(WEB)));
    let (_, peer) = far.unwrap();
    assert_eq!((peer.identity, peer.server_name), (None, None));

    // Leniency is for those who show nothing; what is shown is judged.
    let other = mutual(fixed(root.credentials("spiffe://td/other")), exactly(WEB));
    let (_, far) = shake(&other, &lenient).await;
    assert!(matches!(refusal(far), VerifyError::Unexpected { .. }));
}

/// A renewal and a change of roots: standing connections go on, new ones use what is new.
#[tokio::test]
async fn rotation_under_use() {
    let (old, new) = (Signer::root(), Signer::root());
    let server_side = CredentialsWriter::new(old.credentials(WEB));
    let client_side = CredentialsWriter::new(old.credentials(SHOP));
    let server = strict(server_side.reader(), exactly(SHOP));
    let client = mutual(client_side.reader(), exactly(WEB));
    let (near, far) = shake(&client, &server).await;
    let ((mut near, before), (mut far, _)) = (near.unwrap(), far.unwrap());

    server_side.replace(old.credentials(WEB));
    let (again, _) = shake(&client, &server).await;
    let (_, after) = again.unwrap();
    assert_ne!(before.certificate, after.certificate);
    assert_eq!(before.identity, after.identity);

    // The server moves to another root; the client has not heard of it.
    server_side.replace(new.credentials(WEB));
    let (refused, _) = shake(&client, &server).await;
    assert!(matches!(refusal(refused), VerifyError::Chain { .. }));
    // The client hears of it; the server does not know the client's old root any more.
    client_side.replace_bundles(new.bundles("td"));
    let (_, refused) = shake(&client, &server).await;
    assert!(matches!(refusal(refused), VerifyError::Chain { .. }));
    client_side.replace(new.credentials(SHOP));
    let (near_again, far_again) = shake(&client, &server).await;
    assert!(near_again.is_ok() && far_again.is_ok());

    echo(&mut near, &mut far).await;
}

/// A client that would like to resume its session is verified again all the same.
#[tokio::test]
async fn no_session_is_resumed() {
    let root = Signer::root();
    let context = TlsContext::aws_lc();
    let verifier = SvidVerifier::new(root.bundles("td"), exactly(WEB), context.provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (leaf, key) = root.leaf(SHOP, |_| {});
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ClientConfig::builder_with_provider(Arc::clone(context.provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier.clone()))
            .with_client_auth_cert(vec![leaf], key.into())
            .unwrap();
        let client = TlsConnector::from(Arc::new(config));
        let server = strict(fixed(root.credentials(WEB)), exactly(SHOP));
        for _ in 0..2 {
            let (near, far) = duplex(64 * 1024);
            let name = "web.example".try_into().unwrap();
            let (near, far) = tokio::join!(client.connect(name, near), server.accept(far));
            let (mut near, (mut far, _)) = (near.unwrap().into(), far.unwrap());
            echo(&mut near, &mut far).await;
            echo(&mut far, &mut near).await;
            let kind = far.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn servers_of_the_web() {
    let root = Signer::root();
    let roots = || WebRoots::from_pem(pem(&root).as_bytes()).unwrap();
    let certificate = root.keyed(WEB, |params| {
        params.custom_extensions = vec![names(
            &[(DNS, b"shop.example"), (URI, WEB.as_bytes())],
            true,
        )];
    });
    let server = acceptor(ServerSecurity::Web {
        certificate,
        clients: WebClients::Anonymous,
    });
    let check = async |name: &str, servers: WebServers, want: bool| {
        let certificate = None;
        let security = ClientSecurity::Web {
            servers,
            certificate,
        };
        let (near, _) = shake(&connector(Some(name), security), &server).await;
        assert_eq!(near.is_ok(), want, "{name}");
        if let Ok((_, peer)) = near {
            assert_eq!(peer.identity, None, "the web knows names, not identities");
        }
    };
    let certified = |names: &[&str]| WebServers::Certified {
        roots: roots(),
        names: names.iter().map(|&name| name.to_owned()).collect(),
    };
    check("shop.example", certified(&[]), true).await;
    check("other.example", certified(&[]), false).await;
    check(
        "other.example",
        certified(&["x.example", "shop.example"]),
        true,
    )
    .await;
    check("other.example", certified(&[WEB]), true).await;
    check("shop.example", certified(&["x.example"]), false).await;
    check("shop.example", certified(&["spiffe://td/other"]), false).await;
    check("other.example", WebServers::Anybody, true).await;
    let foreign = WebServers::Certified {
        roots: WebRoots::from_pem(pem(&Signer::root()).as_bytes()).unwrap(),
        names: vec![],
    };
    check("shop.example", foreign, false).await;
}

#[tokio::test]
async fn clients_of_the_web() {
    let root = Signer::root();
    let roots = || WebRoots::from_pem(pem(&root).as_bytes()).unwrap();
    let check = async |clients: WebClients, shown: bool, want: bool| {
        let certificate = root.keyed(WEB, |_| {});
        let server = acceptor(ServerSecurity::Web {
            certificate,
            clients,
        });
        let security = ClientSecurity::Web {
            servers: WebServers::Anybody,
            certificate: shown.then(|| root.keyed(SHOP, |_| {})),
        };
        let (_, far) = shake(&connector(Some("shop.example"), security), &server).await;
        assert_eq!(far.is_ok(), want);
        if let Ok((_, peer)) = far {
            assert_eq!(peer.identity, None);
        }
    };
    check(WebClients::Anonymous, false, true).await;
    check(WebClients::Anonymous, true, true).await;
    check(WebClients::Certified(roots()), true, true).await;
    check(WebClients::Certified(roots()), false, false).await;
    check(WebClients::CertifiedOrAnonymous(roots()), false, true).await;
    check(WebClients::CertifiedOrAnonymous(roots()), true, true).await;
}

/// In the mesh a protocol that nobody shares is no reason to part; outside it is.
#[tokio::test]
async fn protocols_that_nobody_shares() {
    let root = Signer::root();
    let offering = |alpn: &[&str]| {
        let settings = ClientSettings {
            server_name: Some("shop.example".to_owned()),
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            versions: TlsVersions::Both,
            security: ClientSecurity::Web {
                servers: WebServers::Anybody,
                certificate: Some(root.keyed(SHOP, |_| {})),
            },
        };
        Connector::new(settings, TlsContext::aws_lc()).unwrap()
    };
    let mesh = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let web = acceptor(ServerSecurity::Web {
        certificate: root.keyed(WEB, |_| {}),
        clients: WebClients::Anonymous,
    });
    let check = async |server: &Acceptor, offered: &[&str], want: Option<Option<&str>>| {
        let (_, far) = shake(&offering(offered), server).await;
        let agreed = far.ok().map(|(_, peer)| peer.alpn);
        let want = want.map(|alpn| alpn.map(|name| name.as_bytes().into()));
        assert_eq!(agreed, want, "{offered:?}");
    };
    check(&mesh, &["http/1.1", "h2"], Some(Some("h2"))).await;
    check(&mesh, &[], Some(None)).await;
    check(&mesh, &["istio-peer-exchange", "istio"], Some(None)).await;
    check(&web, &["http/1.1", "h2"], Some(Some("h2"))).await;
    check(&web, &[], Some(None)).await;
    check(&web, &["istio-peer-exchange", "istio"], None).await;
}

#[tokio::test]
async fn a_connection_may_call_another_name() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let client = mutual(fixed(root.credentials(SHOP)), exactly(WEB));
    let (near, far) = duplex(64 * 1024);
    let (_, far) = tokio::join!(client.connect_to(near, "a.example"), server.accept(far));
    assert_eq!(far.unwrap().1.server_name.as_deref(), Some("a.example"));

    let (near, _far) = duplex(64);
    let error = client.connect_to(near, "not a name").await.map(drop);
    let wanted = SettingsError::ServerName("not a name".to_owned());
    assert!(matches!(error, Err(HandshakeError::Settings(error)) if error == wanted));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let (_near, far) = duplex(64);
    let error = server.accept(far).await.map(drop).unwrap_err();
    assert!(
        matches!(error, HandshakeError::TimedOut(HANDSHAKE_TIMEOUT)),
        "{error}"
    );
}

#[tokio::test]
async fn plaintext_is_refused() {
    let root = Signer::root();
    let server = strict(fixed(root.credentials(WEB)), ExpectedIdentities::Any);
    let (mut near, far) = duplex(1024);
    near.write_all(b"GET / HTTP/1.1\r\nhost: web\r\n\r\n")
        .await
        .unwrap();
    let error = server.accept(far).await.map(drop).unwrap_err();
    assert!(matches!(error, HandshakeError::Tls(_)), "{error}");
}

fn pem(root: &Signer) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", &*root.certificate))
}

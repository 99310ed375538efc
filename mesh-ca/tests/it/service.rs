//! The signing service over real connections on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_ca::{
    Authority, CaClient, CaService, IssuancePolicy, TokenSource,
    attest::{CertificateAttestor, TokenIssuer},
};
use mesh_core::identity::{SpiffeId, TrustDomain};
use mesh_tls::{
    Acceptor, ClientSecurity, ClientSettings, Connector, Credentials, CredentialsKeeper,
    CredentialsReader, CredentialsSource, ExpectedIdentities, MeshClients, RenewalSchedule,
    ServerSecurity, ServerSettings, SourceError, TlsContext, TlsVersions, TrustBundles,
    grpc::{Incoming, channel},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tonic::transport::{Channel, Server};

const HOUR: Duration = Duration::from_secs(3600);

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

fn istiod() -> SpiffeId {
    id("spiffe://cluster.local/ns/istio-system/sa/istiod")
}

fn web() -> SpiffeId {
    id("spiffe://cluster.local/ns/default/sa/web")
}

/// A CA that serves, and all that a workload is given to begin with.
struct Ca {
    authority: Arc<Authority>,
    tokens: TokenIssuer,
    address: SocketAddr,
    serving: JoinHandle<()>,
    context: TlsContext,
}

impl Ca {
    async fn start() -> Self {
        let context = TlsContext::aws_lc();
        let trust_domain = TrustDomain::default();
        let pem = Authority::generate(&trust_domain, &context).unwrap();
        let policy = IssuancePolicy::default();
        let authority = Authority::new(trust_domain.clone(), &pem, policy, context.clone());
        let authority = Arc::new(authority.unwrap());
        let tokens = TokenIssuer::generate("local", context.clone()).unwrap();
        let service = CaService::new(
            Arc::clone(&authority),
            vec![
                Box::new(tokens.attestor(trust_domain.clone())),
                Box::new(CertificateAttestor { trust_domain }),
            ],
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = Incoming::new(listener, acceptor(&authority, &context));
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming);
        Self {
            authority,
            tokens,
            address,
            serving: tokio::spawn(async move { serving.await.unwrap() }),
            context,
        }
    }

    fn channel(&self, security: ClientSecurity) -> Channel {
        let settings = ClientSettings {
            server_name: None,
            alpn: vec![b"h2".to_vec()],
            versions: TlsVersions::Both,
            security,
        };
        let connector = Connector::new(settings, self.context.clone()).unwrap();
        channel(&self.address.to_string(), Arc::new(connector)).unwrap()
    }

    /// A client that knows the roots and nothing else.
    fn newcomer(&self, identity: SpiffeId, roots: &TrustBundles) -> CaClient {
        let channel = self.channel(ClientSecurity::Bootstrap {
            bundles: self.authority.bundles().clone(),
            servers: ExpectedIdentities::exactly(istiod()),
        });
        CaClient::new(channel, identity, roots.clone(), self.context.clone())
    }

    fn token(&self, account: &str) -> TokenSource {
        let token = self.tokens.mint("default", account, HOUR).unwrap();
        Box::new(move || Ok(token.clone()))
    }

    fn roots(&self) -> &TrustBundles {
        self.authority.bundles()
    }
}

impl Drop for Ca {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn acceptor(authority: &Authority, context: &TlsContext) -> Arc<Acceptor> {
    let credentials = authority.credentials(&istiod()).unwrap();
    let settings = ServerSettings {
        alpn: vec![b"h2".to_vec()],
        versions: TlsVersions::Both,
        security: ServerSecurity::Mesh {
            credentials: CredentialsReader::fixed(credentials),
            clients: MeshClients::IdentifiedOrAnonymous(ExpectedIdentities::Any),
        },
    };
    Arc::new(Acceptor::new(settings, context.clone()).unwrap())
}

fn refused(result: Result<Credentials, SourceError>) -> String {
    match result.unwrap_err() {
        SourceError::Refused(error) => error.to_string(),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_token_brings_credentials() {
    let ca = Ca::start().await;
    let client = ca.newcomer(web(), ca.roots()).with_token(ca.token("web"));
    let first = client.fetch().await.unwrap();
    assert_eq!(*first.identity(), web());
    assert_eq!(first.bundles(), ca.roots());
    assert_eq!(
        first.certificate().chain().len(),
        1,
        "the root is known already"
    );
    assert_eq!(
        first.facts().lifetime(),
        24 * HOUR + Duration::from_secs(120)
    );

    let second = client.fetch().await.unwrap();
    assert_ne!(first.facts().serial, second.facts().serial);
}

#[tokio::test]
async fn credentials_bring_new_ones() {
    let ca = Ca::start().await;
    let client = ca.newcomer(web(), ca.roots()).with_token(ca.token("web"));
    let credentials = CredentialsReader::fixed(client.fetch().await.unwrap());
    let channel = ca.channel(ClientSecurity::Mesh {
        credentials,
        servers: ExpectedIdentities::exactly(istiod()),
    });
    let renewing =
        CaClient::new(channel, web(), ca.roots().clone(), ca.context.clone()).with_lifetime(HOUR);
    let renewed = renewing.fetch().await.unwrap();
    assert_eq!(*renewed.identity(), web());
    assert_eq!(renewed.facts().lifetime(), HOUR + Duration::from_secs(120));
}

#[tokio::test]
async fn callers_without_proof_are_refused() {
    let ca = Ca::start().await;
    let nobody = ca.newcomer(web(), ca.roots());
    let text = refused(nobody.fetch().await);
    assert!(text.contains("no proof of identity"), "{text}");
    let forged: TokenSource = Box::new(|| Ok("a.b.c".to_owned()));
    let text = refused(nobody.with_token(forged).fetch().await);
    assert!(text.contains("the token is not believed"), "{text}");
}

/// A bad token is not made good by a good certificate: what is shown is judged.
#[tokio::test]
async fn a_bad_token_is_refused_whatever_else_is_shown() {
    let ca = Ca::start().await;
    let credentials = CredentialsReader::fixed(ca.authority.credentials(&web()).unwrap());
    let channel = ca.channel(ClientSecurity::Mesh {
        credentials,
        servers: ExpectedIdentities::exactly(istiod()),
    });
    let client = CaClient::new(channel, web(), ca.roots().clone(), ca.context.clone())
        .with_token(Box::new(|| Ok("a.b.c".to_owned())));
    let text = refused(client.fetch().await);
    assert!(text.contains("the token is not believed"), "{text}");
}

#[tokio::test]
async fn an_answer_for_somebody_else_is_not_believed() {
    let ca = Ca::start().await;
    let client = ca.newcomer(web(), ca.roots()).with_token(ca.token("other"));
    let error = client.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Unusable(_)), "{error}");
    let text = "the peer is spiffe://cluster.local/ns/default/sa/other, expected was";
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_root_is_not_believed() {
    let (ca, other) = (Ca::start().await, Ca::start().await);
    let client = ca
        .newcomer(web(), other.roots())
        .with_token(ca.token("web"));
    let error = client.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Unusable(_)), "{error}");
}

#[tokio::test]
async fn the_wrong_server_is_not_spoken_to() {
    let ca = Ca::start().await;
    let channel = ca.channel(ClientSecurity::Bootstrap {
        bundles: ca.roots().clone(),
        servers: ExpectedIdentities::exactly(web()),
    });
    let client = CaClient::new(channel, web(), ca.roots().clone(), ca.context.clone())
        .with_token(ca.token("web"));
    let error = client.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
}

/// The token is asked for each time, since platforms replace it in place.
#[tokio::test]
async fn a_token_that_is_missing_may_appear() {
    let ca = Ca::start().await;
    let file = Arc::new(Mutex::new(None::<String>));
    let read = Arc::clone(&file);
    let source: TokenSource = Box::new(move || {
        read.lock()
            .unwrap()
            .clone()
            .ok_or_else(|| "not there yet".into())
    });
    let client = ca.newcomer(web(), ca.roots()).with_token(source);
    assert!(!format!("{client:?}").contains("eyJ"));
    let error = client.fetch().await.unwrap_err();
    assert!(matches!(error, SourceError::Unavailable(_)), "{error}");
    *file.lock().unwrap() = Some(ca.tokens.mint("default", "web", HOUR).unwrap());
    assert!(client.fetch().await.is_ok());
}

/// A peer that says nothing, or nonsense, or leaves, does not keep others waiting.
#[tokio::test]
async fn odd_connections_delay_nobody() {
    let ca = Ca::start().await;
    let _silent = TcpStream::connect(ca.address).await.unwrap();
    let mut confused = TcpStream::connect(ca.address).await.unwrap();
    confused.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(TcpStream::connect(ca.address).await.unwrap());
    let client = ca.newcomer(web(), ca.roots()).with_token(ca.token("web"));
    assert!(client.fetch().await.is_ok());
    let mut answer = Vec::new();
    let _ = confused.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in plaintext");
}

/// A newcomer with a token, and a keeper that renews what it was given.
#[tokio::test]
async fn a_keeper_renews_over_the_service() {
    let ca = Ca::start().await;
    let client = ca
        .newcomer(web(), ca.roots())
        .with_token(ca.token("web"))
        .with_lifetime(Duration::from_secs(2));
    let schedule = RenewalSchedule::default();
    let keeper = CredentialsKeeper::start(client, schedule, ca.context.clone(), |_| {}).await;
    let mut reader = keeper.reader();
    let first = reader.current();
    let running = tokio::spawn(keeper.run());
    let second = reader.changed().await;
    running.abort();
    assert_eq!(first.identity(), second.identity());
    assert_ne!(first.facts().serial, second.facts().serial);
}

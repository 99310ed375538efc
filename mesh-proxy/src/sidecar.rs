//! Proxy, xDS and CA together: a workload's sidecar, or a gateway. The only file that knows all three.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use mesh_ca::CaClient;
use mesh_core::{
    dataplane::{ConfigFeed, Node, Refusal, ResourceType, SecretValue, Snapshot, Update, Verdict},
    identity::{SpiffeId, TrustDomain},
};
use mesh_tls::{
    ClientSecurity, ClientSettings, Connector, Credentials, CredentialsKeeper, CredentialsWriter,
    ExpectedIdentities, KeeperEvent, RenewalSchedule, SettingsError, TlsContext, TlsVersions,
    TrustBundles, grpc,
};
use mesh_xds::XdsClient;
use tokio::task::JoinHandle;

use crate::{
    DrainWatch, Proxy, ProxyHandle, ProxyOptions,
    admin::{AdminServer, Pages},
    net::Network,
    telemetry::{LogTarget, Observer},
};

/// What a sidecar is made of.
pub struct SidecarOptions {
    /// Which proxy it is.
    pub node: Node,
    /// Who its workload is.
    pub identity: SpiffeId,
    /// Where control plane and CA are, `host:port`.
    pub control_plane: String,
    /// Who they are.
    pub control_plane_identity: SpiffeId,
    /// The roots to believe to begin with.
    pub roots: TrustBundles,
    /// Gives the token that proves who the workload is; asked at every renewal.
    pub token: Token,
    /// How long certificates are to live; zero leaves it to the CA.
    pub certificate_lifetime: Duration,
    /// How many workers carry traffic.
    pub workers: usize,
    /// Where sockets come from.
    pub network: Arc<dyn Network>,
    /// How TLS is done.
    pub tls: TlsContext,
    /// Where `/dev/stdout` of access logs leads.
    pub log_target: LogTarget,
    /// An embedder's own telemetry.
    pub observer: Option<Arc<dyn Observer>>,
    /// Tells when to end.
    pub drain: DrainWatch,
    /// How long connections may take to end by themselves.
    pub drain_time: Duration,
    /// Learns what happens.
    pub on_event: Arc<dyn Fn(SidecarEvent) + Send + Sync>,
}

/// Gives a token, or says why it cannot.
pub type Token =
    Arc<dyn Fn() -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// What a sidecar has to tell.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SidecarEvent {
    /// It has a new certificate, until then.
    CertificateRenewed(Arc<Credentials>),
    /// No certificate could be had; the one in force, if any, stays.
    CertificateFailed {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A plan is in force.
    Applied {
        /// Its version.
        version: String,
        /// What of it was refused.
        verdict: Verdict,
    },
}

/// Why a sidecar does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// A thread or socket could not be had.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// TLS to the control plane cannot be set up.
    #[error("TLS to the control plane: {0}")]
    Tls(#[from] SettingsError),
    /// The control plane's address is malformed.
    #[error("the control plane's address: {0}")]
    Address(#[from] grpc::ChannelError),
}

/// A running sidecar.
pub struct Sidecar {
    handle: ProxyHandle,
    running: JoinHandle<()>,
    helping: Vec<JoinHandle<()>>,
}

impl Sidecar {
    /// Where Istio's sidecars serve their admin pages, health and metrics.
    const PAGES: [(u16, Pages); 3] = [
        (15000, Pages::All),
        (15021, Pages::Health),
        (15090, Pages::Metrics),
    ];

    /// Obtains a certificate, however long that takes, and starts to follow the control plane.
    pub async fn start(options: SidecarOptions) -> Result<Self, SidecarError> {
        let keeper = keep_credentials(&options).await?;
        let (reader, writer) = (keeper.reader(), keeper.writer());
        let renewing = tokio::spawn(keeper.run());
        let proxy = Proxy::start(ProxyOptions {
            node: options.node.clone(),
            workers: options.workers,
            network: Arc::clone(&options.network),
            tls: options.tls.clone(),
            credentials: Some(reader.clone()),
            exchange_metadata: true,
            log_target: options.log_target.clone(),
            observer: options.observer.clone(),
            drain: options.drain.clone(),
            drain_time: options.drain_time,
        })?;
        let handle = proxy.handle();
        let mut helping = vec![renewing];
        for (port, pages) in Self::PAGES {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let server = AdminServer::new(handle.clone(), pages);
            helping.push(server.start(&*options.network, address)?.1);
        }
        let security = ClientSecurity::Mesh {
            credentials: reader,
            servers: ExpectedIdentities::exactly(options.control_plane_identity),
        };
        let connector = Connector::new(towards_control_plane(security), options.tls)?;
        let channel = grpc::channel(&options.control_plane, Arc::new(connector))?;
        let feed = WithRoots {
            inner: XdsClient::new(channel, options.node),
            roots: writer,
            trust_domain: options.identity.trust_domain().clone(),
            on_event: options.on_event,
            version: String::new(),
            refused: None,
        };
        let running = tokio::spawn(proxy.run(feed));
        Ok(Self {
            handle,
            running,
            helping,
        })
    }

    /// A view on the proxy.
    pub fn handle(&self) -> &ProxyHandle {
        &self.handle
    }

    /// Waits until it has ended, after it was told to by its drain watch.
    pub async fn ended(self) {
        // A panic was told by the panic itself.
        let _ = self.running.await;
        for task in self.helping {
            task.abort();
        }
    }
}

/// The first certificate is asked for with the token, on a connection that shows none.
async fn keep_credentials(
    options: &SidecarOptions,
) -> Result<CredentialsKeeper<CaClient>, SidecarError> {
    let security = ClientSecurity::Bootstrap {
        bundles: options.roots.clone(),
        servers: ExpectedIdentities::exactly(options.control_plane_identity.clone()),
    };
    let connector = Connector::new(towards_control_plane(security), options.tls.clone())?;
    let channel = grpc::channel(&options.control_plane, Arc::new(connector))?;
    let token = Arc::clone(&options.token);
    let client = CaClient::new(
        channel,
        options.identity.clone(),
        options.roots.clone(),
        options.tls.clone(),
    )
    .with_token(Box::new(move || token()))
    .with_lifetime(options.certificate_lifetime);
    let on_event = Arc::clone(&options.on_event);
    let tell = move |event: KeeperEvent<'_>| match event {
        KeeperEvent::Renewed(credentials) => {
            on_event(SidecarEvent::CertificateRenewed(Arc::new(
                credentials.clone(),
            )));
        }
        KeeperEvent::Failed { error, retry_in } => {
            let reason = error.to_string();
            on_event(SidecarEvent::CertificateFailed { reason, retry_in });
        }
        _ => {}
    };
    let schedule = RenewalSchedule::default();
    Ok(CredentialsKeeper::start(client, schedule, options.tls.clone(), tell).await)
}

fn towards_control_plane(security: ClientSecurity) -> ClientSettings {
    ClientSettings {
        server_name: None,
        alpn: vec![b"h2".to_vec()],
        versions: TlsVersions::Both,
        security,
    }
}

/// A feed whose plans also tell which roots to trust: the secret `ROOTCA`.
struct WithRoots {
    inner: XdsClient,
    roots: CredentialsWriter,
    trust_domain: TrustDomain,
    on_event: Arc<dyn Fn(SidecarEvent) + Send + Sync>,
    version: String,
    /// The roots of the last plan, if they are not believed: those in force stay.
    refused: Option<Refusal>,
}

impl WithRoots {
    const ROOTS: &str = "ROOTCA";

    /// Trusts the roots of a plan from now on, if it tells any.
    fn trust(&self, snapshot: &Snapshot) -> Result<(), String> {
        let Some(secret) = snapshot.secrets.get(Self::ROOTS) else {
            return Ok(());
        };
        let SecretValue::TrustBundle { roots } = &secret.value else {
            return Err("is a certificate, not the roots to trust".into());
        };
        let bundles = TrustBundles::from_pem(self.trust_domain.clone(), roots.as_bytes())
            .map_err(|error| error.to_string())?;
        self.roots.replace_bundles(bundles);
        Ok(())
    }
}

impl ConfigFeed for WithRoots {
    async fn next(&mut self) -> Option<Update> {
        let update = self.inner.next().await?;
        self.version = update.snapshot.version.to_string();
        self.refused = self.trust(&update.snapshot).err().map(|reason| Refusal {
            resource_type: ResourceType::Secret,
            name: Self::ROOTS.into(),
            reason,
        });
        Some(update)
    }

    async fn reply(&mut self, mut verdict: Verdict) {
        verdict.refusals.extend(self.refused.take());
        (self.on_event)(SidecarEvent::Applied {
            version: self.version.clone(),
            verdict: verdict.clone(),
        });
        self.inner.reply(verdict).await;
    }
}

impl fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sidecar({})", self.handle.node().id())
    }
}

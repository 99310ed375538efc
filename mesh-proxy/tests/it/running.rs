//! A proxy under test.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use mesh_core::dataplane::Snapshot;
use mesh_proxy::{
    DrainSignal, Proxy, ProxyHandle, ProxyOptions,
    admin::{AdminServer, Pages},
    net::SystemNetwork,
    telemetry::{LogTarget, Observer, RequestRecord, TcpRecord},
};
use mesh_tls::{CredentialsReader, TlsContext};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{plans, wire};

pub(crate) struct Running {
    pub(crate) proxy: Proxy,
    pub(crate) handle: ProxyHandle,
    pub(crate) signal: DrainSignal,
    told: UnboundedReceiver<Told>,
    log: PathBuf,
}

/// What the observer was told, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) flags: String,
    pub(crate) details: String,
    pub(crate) attempts: u32,
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

pub(crate) struct Setup {
    pub(crate) workload: &'static str,
    pub(crate) workers: usize,
    pub(crate) credentials: Option<CredentialsReader>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workload: "caller",
            workers: 1,
            credentials: None,
        }
    }
}

impl Running {
    /// A proxy that runs on all of a plan.
    pub(crate) async fn start(plan: &Snapshot) -> Self {
        Self::with(Setup::default(), plan).await
    }

    pub(crate) async fn with(setup: Setup, plan: &Snapshot) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}.log", std::process::id());
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (signal, drain) = DrainSignal::new();
        let (telling, told) = unbounded_channel();
        let proxy = Proxy::start(ProxyOptions {
            node: plans::node(setup.workload),
            workers: setup.workers,
            network: Arc::new(SystemNetwork),
            tls: TlsContext::aws_lc(),
            credentials: setup.credentials,
            exchange_metadata: true,
            log_target: LogTarget::File(log.clone()),
            observer: Some(Arc::new(Telling(telling))),
            drain,
            drain_time: Duration::from_secs(30),
        })
        .unwrap();
        let verdict = proxy.apply(plan).await;
        assert_eq!(verdict.refusals, []);
        Self {
            handle: proxy.handle(),
            proxy,
            signal,
            told,
            log,
        }
    }

    pub(crate) fn at(&self, listener: &str) -> SocketAddr {
        self.handle.address_of(listener).unwrap()
    }

    pub(crate) fn main(&self) -> SocketAddr {
        self.at("main")
    }

    /// The next request or connection that is over.
    pub(crate) async fn told(&mut self) -> Told {
        self.told.recv().await.unwrap()
    }

    pub(crate) async fn page(&self, pages: Pages, path: &str) -> wire::Answer {
        let admin = AdminServer::new(self.handle.clone(), pages);
        let here = plans::ANY_PORT.parse().unwrap();
        let (address, serving) = admin.start(&SystemNetwork, here).unwrap();
        let answer = wire::get(address, path).await;
        serving.abort();
        answer
    }

    pub(crate) async fn metrics(&self) -> Vec<wire::Sample> {
        let answer = self.page(Pages::Metrics, "/stats/prometheus").await;
        wire::parse_prometheus(&answer.text())
    }

    /// Ends it in good order, and gives the lines it logged.
    pub(crate) async fn finish(self) -> Vec<String> {
        self.signal.start();
        self.proxy.run_as_is().await;
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let _ = fs::remove_file(&self.log);
        text.lines().map(str::to_owned).collect()
    }
}

struct Telling(UnboundedSender<Told>);

impl Observer for Telling {
    fn request(&self, record: &RequestRecord) {
        let _ = self.0.send(Told {
            status: record.status.map_or(0, |status| status.as_u16()),
            flags: record.flags.to_string(),
            details: record.details.to_string(),
            attempts: record.attempts,
            received: record.bytes_received,
            sent: record.bytes_sent,
        });
    }

    fn connection(&self, record: &TcpRecord) {
        let termination = record.termination.as_deref();
        let _ = self.0.send(Told {
            status: 0,
            flags: record.flags.to_string(),
            details: termination.unwrap_or(&record.details).to_owned(),
            attempts: 0,
            received: record.bytes_received,
            sent: record.bytes_sent,
        });
    }
}

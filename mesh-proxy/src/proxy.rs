//! The engine put together: workers, listeners, and the configuration they run on.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use mesh_core::dataplane::{ConfigFeed, Name, Node, Refusal, ResourceType, Snapshot, Verdict};
use mesh_tls::{CredentialsReader, TlsContext};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
    task::LocalSet,
};

use crate::{
    drain::DrainWatch,
    live::{Compiler, LiveConfig, SecurityCompiler},
    net::{Bind, Network},
    telemetry::{LogSinks, LogTarget, Observer, OwnLabels, PeerMetadata},
    upstream::Dialer,
    worker::{Command, Worker, WorkerReport, WorkerSettings},
};

/// What a proxy is made of.
pub struct ProxyOptions {
    /// Which proxy it is.
    pub node: Node,
    /// How many workers carry traffic, each a thread of its own.
    pub workers: usize,
    /// Where sockets come from.
    pub network: Arc<dyn Network>,
    /// How TLS is done.
    pub tls: TlsContext,
    /// The workload's own identity, if it has one.
    pub credentials: Option<CredentialsReader>,
    /// Take part in Istio's metadata exchange.
    pub exchange_metadata: bool,
    /// Where `/dev/stdout` of access logs leads.
    pub log_target: LogTarget,
    /// An embedder's own telemetry.
    pub observer: Option<Arc<dyn Observer>>,
    /// Tells when to end.
    pub drain: DrainWatch,
    /// How long connections may take to end by themselves.
    pub drain_time: Duration,
}

/// A running proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    compiler: Compiler,
    network: Arc<dyn Network>,
    drain: DrainWatch,
    drain_time: Duration,
    threads: Vec<JoinHandle<()>>,
}

/// A view on a running proxy. Cheap to clone.
#[derive(Clone)]
pub struct ProxyHandle(Arc<Shared>);

struct Shared {
    node: Node,
    credentials: Option<CredentialsReader>,
    live: watch::Sender<Arc<LiveConfig>>,
    listening: Mutex<HashMap<Name, Listening>>,
    workers: Mutex<Vec<mpsc::Sender<Command>>>,
    sinks: Arc<LogSinks>,
    drain: DrainWatch,
}

#[derive(Debug, Clone, Copy)]
struct Listening {
    planned: SocketAddr,
    actual: SocketAddr,
}

impl Proxy {
    /// Commands a worker may be behind with.
    const COMMANDS: usize = 64;

    /// Starts the workers. They serve nothing until a plan is applied.
    pub fn start(options: ProxyOptions) -> io::Result<Self> {
        let sinks = Arc::new(LogSinks::new(options.log_target));
        let identity = options
            .credentials
            .as_ref()
            .map(|own| own.current().identity().clone());
        let settings = WorkerSettings {
            own: OwnLabels::of(&options.node, identity),
            peer_metadata: options
                .exchange_metadata
                .then(|| PeerMetadata::of(&options.node)),
            observer: options.observer,
            dialer: Dialer {
                network: Arc::clone(&options.network),
            },
            drain: options.drain.clone(),
            workers: u32::try_from(options.workers)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN),
        };
        let (workers, threads) = (0..options.workers.max(1))
            .map(|index| start_worker(index, settings.clone()))
            .collect::<io::Result<(Vec<_>, Vec<_>)>>()?;
        let shared = Shared {
            node: options.node,
            credentials: options.credentials.clone(),
            live: watch::Sender::new(Arc::default()),
            listening: Mutex::default(),
            workers: Mutex::new(workers),
            sinks: Arc::clone(&sinks),
            drain: options.drain.clone(),
        };
        let security = SecurityCompiler {
            context: options.tls,
            own: options.credentials,
        };
        Ok(Self {
            shared: Arc::new(shared),
            compiler: Compiler { security, sinks },
            network: options.network,
            drain: options.drain,
            drain_time: options.drain_time,
            threads,
        })
    }

    /// A view on it.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle(Arc::clone(&self.shared))
    }

    /// Puts a plan in force on every worker, and says what became of it.
    pub async fn apply(&self, plan: &Snapshot) -> Verdict {
        let previous = Arc::clone(&self.shared.live.borrow());
        let (live, mut verdict) = self.compiler.apply(&previous, plan);
        let live = Arc::new(live);
        let mut applied = Vec::new();
        for worker in self.shared.workers() {
            let (done, waiting) = oneshot::channel();
            if worker
                .send(Command::Apply(Arc::clone(&live), done))
                .await
                .is_ok()
            {
                applied.push(waiting);
            }
        }
        for waiting in applied {
            // A worker that ended has nothing to apply.
            let _ = waiting.await;
        }
        verdict.refusals.extend(self.listen(&live).await);
        self.shared.live.send_replace(live);
        verdict
    }

    /// Runs on the plans of a feed until there are no more or the proxy is told to end; then lets
    /// connections end by themselves for a while.
    pub async fn run(self, mut feed: impl ConfigFeed) {
        let mut drain = self.drain.clone();
        loop {
            let update = tokio::select! {
                update = feed.next() => update,
                () = drain.started() => None,
            };
            let Some(update) = update else { break };
            let verdict = self.apply(&update.snapshot).await;
            feed.reply(verdict).await;
        }
        drain.started().await;
        self.end().await;
    }

    /// Waits until the proxy is told to end, on the plan it has.
    pub async fn run_as_is(self) {
        let mut drain = self.drain.clone();
        drain.started().await;
        self.end().await;
    }

    async fn end(self) {
        let handle = self.handle();
        let _ = tokio::time::timeout(self.drain_time, handle.until_quiet()).await;
        self.shared.lock_workers().clear();
        for thread in self.threads {
            // A worker that panicked was told by the panic itself.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let sinks = Arc::clone(&self.shared.sinks);
        // The last lines are written, or their thread ended and nobody can.
        let _ = tokio::task::spawn_blocking(move || sinks.flush()).await;
    }

    /// Opens and closes sockets so that they are those of the configuration.
    async fn listen(&self, live: &LiveConfig) -> Vec<Refusal> {
        let wanted: HashMap<Name, SocketAddr> = live
            .snapshot
            .listeners
            .iter()
            .filter(|listener| listener.bind_to_port)
            .map(|listener| (listener.name.clone(), listener.address))
            .collect();
        let workers = self.shared.workers();
        let gone: Vec<Name> = {
            let listening = self.shared.lock_listening();
            let stale = |name: &Name, at: &Listening| wanted.get(name) != Some(&at.planned);
            listening
                .iter()
                .filter(|(name, at)| stale(name, at))
                .map(|x| x.0.clone())
                .collect()
        };
        for name in gone {
            self.shared.lock_listening().remove(&name);
            for worker in &workers {
                let _ = worker.send(Command::Unlisten(name.clone())).await;
            }
        }
        let mut refusals = Vec::new();
        for listener in live
            .snapshot
            .listeners
            .iter()
            .filter(|listener| listener.bind_to_port)
        {
            if self.shared.lock_listening().contains_key(&listener.name) {
                continue;
            }
            let request = Bind {
                address: listener.address,
                workers: workers.len(),
                redirected: listener.use_original_dst || listener.listener_filters.original_dst,
            };
            match self.network.bind(&request) {
                Ok(sockets) => {
                    let actual = sockets
                        .first()
                        .and_then(|sockets| Some(sockets.first()?.address()));
                    let at = Listening {
                        planned: listener.address,
                        actual: actual.unwrap_or(listener.address),
                    };
                    self.shared
                        .lock_listening()
                        .insert(listener.name.clone(), at);
                    for (worker, sockets) in workers.iter().zip(sockets) {
                        let _ = worker
                            .send(Command::Listen(listener.name.clone(), sockets))
                            .await;
                    }
                }
                Err(error) => refusals.push(Refusal {
                    resource_type: ResourceType::Listener,
                    name: listener.name.clone(),
                    reason: format!("cannot listen on {}: {error}", listener.address),
                }),
            }
        }
        refusals
    }
}

impl ProxyHandle {
    /// Which proxy it is.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The configuration in force.
    pub fn live(&self) -> Arc<LiveConfig> {
        Arc::clone(&self.0.live.borrow())
    }

    /// Waits for a configuration that satisfies a condition.
    pub async fn wait_for(&self, condition: impl Fn(&LiveConfig) -> bool) -> Arc<LiveConfig> {
        let mut live = self.0.live.subscribe();
        let found = live.wait_for(|live| condition(live)).await;
        found
            .map(|live| Arc::clone(&live))
            .expect("the sender lives as long as this handle")
    }

    /// Where a listener really listens.
    pub fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        Some(self.0.lock_listening().get(listener)?.actual)
    }

    /// Every listener and where it really listens, by name.
    pub fn listening(&self) -> Vec<(Name, SocketAddr)> {
        let listening = self.0.lock_listening();
        let mut all: Vec<_> = listening
            .iter()
            .map(|(name, at)| (name.clone(), at.actual))
            .collect();
        all.sort();
        all
    }

    /// The workload's own identity, if it has one.
    pub fn credentials(&self) -> Option<&CredentialsReader> {
        self.0.credentials.as_ref()
    }

    /// Whether it is about to end.
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_started()
    }

    /// Batches of log lines that were dropped because a log file was too slow.
    pub fn dropped_log_batches(&self) -> u64 {
        self.0.sinks.dropped()
    }

    /// What every worker counted.
    pub(crate) async fn reports(&self) -> Vec<WorkerReport> {
        let mut reports = Vec::new();
        for worker in self.0.workers() {
            let (reply, waiting) = oneshot::channel();
            if worker.send(Command::Report(reply)).await.is_ok()
                && let Ok(report) = waiting.await
            {
                reports.push(report);
            }
        }
        reports
    }

    /// Waits until no connection is open.
    async fn until_quiet(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        while self
            .reports()
            .await
            .iter()
            .any(|report| report.connections > 0)
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Shared {
    fn workers(&self) -> Vec<mpsc::Sender<Command>> {
        self.lock_workers().clone()
    }

    fn lock_workers(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Command>>> {
        self.workers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lock_listening(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Listening>> {
        self.listening
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn start_worker(
    index: usize,
    settings: WorkerSettings,
) -> io::Result<(mpsc::Sender<Command>, JoinHandle<()>)> {
    let (commands, inbox) = mpsc::channel(Proxy::COMMANDS);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            LocalSet::new().block_on(&runtime, Worker::run(settings, inbox));
        })?;
    Ok((commands, thread))
}

//! One worker: a thread with a runtime of its own, its own connections, pools and counters. On the
//! way of a request nothing is shared with other workers but the immutable configuration.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    num::NonZeroU32,
    rc::Rc,
    sync::Arc,
};

use mesh_core::dataplane::{Name, ServiceRef};
use mesh_tls::Peer;
use tokio::sync::{mpsc, oneshot};

use crate::{
    drain::DrainWatch,
    limits::Limits,
    listen,
    live::LiveConfig,
    net::Socket,
    telemetry::{
        CompiledAccessLog, Interned, Interner, LogBuffer, MetricTable, Observer, OwnLabels,
        PeerLabels, PeerMetadata, Principal, RequestRecord, SeriesCounts, SeriesLabels, TcpCounts,
        TcpRecord, Told,
    },
    upstream::{Dialer, HostStatus, Upstream},
};

/// What every worker of a proxy is given.
#[derive(Clone)]
pub(crate) struct WorkerSettings {
    pub(crate) own: OwnLabels,
    pub(crate) peer_metadata: Option<PeerMetadata>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) dialer: Dialer,
    pub(crate) drain: DrainWatch,
    /// How many workers there are.
    pub(crate) workers: NonZeroU32,
}

/// What a worker is told.
pub(crate) enum Command {
    /// Run on this configuration from now on.
    Apply(Arc<LiveConfig>, oneshot::Sender<()>),
    /// Accept connections for a listener.
    Listen(Name, Vec<Socket>),
    /// Accept no more connections for a listener.
    Unlisten(Name),
    /// Tell what was counted.
    Report(oneshot::Sender<WorkerReport>),
}

/// What a worker counted.
#[derive(Debug, Default)]
pub(crate) struct WorkerReport {
    pub(crate) series: Vec<(SeriesLabels, SeriesCounts)>,
    pub(crate) tcp: Vec<(SeriesLabels, TcpCounts)>,
    pub(crate) connections: usize,
    pub(crate) refused: u64,
    pub(crate) denied: u64,
    pub(crate) handshake_failures: u64,
    pub(crate) limited: u64,
    pub(crate) limited_on_trial: u64,
    pub(crate) hosts: Vec<HostStatus>,
}

/// One worker's state, shared by its tasks.
pub(crate) struct Worker {
    pub(crate) settings: WorkerSettings,
    pub(crate) limits: Limits,
    view: RefCell<Rc<View>>,
    metrics: RefCell<MetricTable>,
    peers: RefCell<Interner<PeerLabels>>,
    services: RefCell<Interner<ServiceRef>>,
    principals: RefCell<Interner<Principal>>,
    log_buffers: RefCell<HashMap<u32, Rc<LogBuffer>>>,
    random: RefCell<fastrand::Rng>,
    connections: Cell<usize>,
    refused: Cell<u64>,
    denied: Cell<u64>,
    handshake_failures: Cell<u64>,
}

/// The configuration in force, with this worker's side of it.
pub(crate) struct View {
    pub(crate) live: Arc<LiveConfig>,
    upstreams: HashMap<Name, Rc<Upstream>>,
}

/// Counts a connection for as long as it lives.
pub(crate) struct Counted(Rc<Worker>);

impl Worker {
    /// The most callers, services and identities that counters tell apart.
    const MAX_INTERNED: usize = 10_000;

    fn new(settings: WorkerSettings) -> Rc<Self> {
        Rc::new(Self {
            limits: Limits::divided_by(settings.workers),
            settings,
            view: RefCell::new(Rc::new(View {
                live: Arc::default(),
                upstreams: HashMap::new(),
            })),
            metrics: RefCell::default(),
            peers: RefCell::new(Interner::with_limit(Self::MAX_INTERNED)),
            services: RefCell::new(Interner::with_limit(Self::MAX_INTERNED)),
            principals: RefCell::new(Interner::with_limit(Self::MAX_INTERNED)),
            log_buffers: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            connections: Cell::new(0),
            refused: Cell::new(0),
            denied: Cell::new(0),
            handshake_failures: Cell::new(0),
        })
    }

    /// Runs until nobody is left to give commands and no connection is open.
    pub(crate) async fn run(settings: WorkerSettings, mut commands: mpsc::Receiver<Command>) {
        let worker = Self::new(settings);
        let mut accepting: HashMap<Name, Vec<oneshot::Sender<()>>> = HashMap::new();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Apply(live, done) => {
                    worker.apply(live);
                    let _ = done.send(());
                }
                Command::Listen(name, sockets) => {
                    let stops = sockets
                        .into_iter()
                        .map(|socket| worker.accept(&name, socket));
                    accepting.insert(name.clone(), stops.collect());
                }
                Command::Unlisten(name) => {
                    accepting.remove(&name);
                }
                Command::Report(to) => {
                    let _ = to.send(worker.report());
                }
            }
        }
        for buffer in worker.log_buffers.borrow().values() {
            buffer.flush();
        }
    }

    /// The configuration in force.
    pub(crate) fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// A uniform draw.
    pub(crate) fn draw(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// Counts a connection from now on.
    pub(crate) fn count_connection(self: &Rc<Self>) -> Counted {
        self.connections.set(self.connections.get() + 1);
        Counted(Rc::clone(self))
    }

    pub(crate) fn intern_peer(&self, labels: PeerLabels) -> Interned<PeerLabels> {
        self.peers.borrow_mut().intern(labels)
    }

    pub(crate) fn intern_service(&self, service: ServiceRef) -> Interned<ServiceRef> {
        self.services.borrow_mut().intern(service)
    }

    /// Who a peer proved to be, if it did.
    pub(crate) fn principal_of(&self, peer: &Peer) -> Option<Interned<Principal>> {
        let identity = peer.identity.clone()?;
        Some(
            self.principals
                .borrow_mut()
                .intern(Principal(Some(identity))),
        )
    }

    /// Tells of a request that is over: once to counters, once to logs, once to the observer.
    pub(crate) fn tell(&self, record: &RequestRecord, logs: &[CompiledAccessLog]) {
        self.metrics.borrow_mut().count(&self.settings.own, record);
        self.log(Told::Request(record), logs);
        if let Some(observer) = &self.settings.observer {
            observer.request(record);
        }
    }

    /// Tells of a connection whose bytes are passed on from now on.
    pub(crate) fn tell_opened(&self, record: &mut TcpRecord) {
        let mut metrics = self.metrics.borrow_mut();
        metrics.count_opened(&self.settings.own, record);
        record.counted_open = true;
    }

    /// Tells of a connection that is over.
    pub(crate) fn tell_closed(&self, mut record: TcpRecord, logs: &[CompiledAccessLog]) {
        if !record.counted_open {
            self.tell_opened(&mut record);
        }
        let mut metrics = self.metrics.borrow_mut();
        metrics.count_closed(&self.settings.own, &record);
        drop(metrics);
        self.tell_turned_away(record, logs);
    }

    /// Tells of a connection that no chain took.
    pub(crate) fn tell_refused(&self, record: TcpRecord, logs: &[CompiledAccessLog]) {
        self.refused.set(self.refused.get() + 1);
        self.tell_turned_away(record, logs);
    }

    /// Counts a caller that may not connect.
    pub(crate) fn count_denied(&self) {
        self.denied.set(self.denied.get() + 1);
    }

    fn tell_turned_away(&self, mut record: TcpRecord, logs: &[CompiledAccessLog]) {
        record.end();
        self.log(Told::Connection(&record), logs);
        if let Some(observer) = &self.settings.observer {
            observer.connection(&record);
        }
    }

    fn log(&self, told: Told<'_>, logs: &[CompiledAccessLog]) {
        for log in logs.iter().filter(|log| log.wants(told)) {
            let mut buffers = self.log_buffers.borrow_mut();
            let writer = log.writer();
            let buffer = buffers
                .entry(writer.id())
                .or_insert_with(|| Rc::new(LogBuffer::new(writer.clone())));
            buffer.log(log, told);
        }
    }

    /// Tells of a caller that failed the handshake.
    pub(crate) fn tell_handshake_failure(&self) {
        self.handshake_failures
            .set(self.handshake_failures.get() + 1);
    }

    fn apply(&self, live: Arc<LiveConfig>) {
        let before = self.view();
        self.limits.apply(&live);
        let upstreams = live
            .clusters
            .iter()
            .map(|(name, cluster)| {
                let upstream = Upstream::new(cluster, before.upstreams.get(name), self);
                (name.clone(), upstream)
            })
            .collect();
        *self.view.borrow_mut() = Rc::new(View { live, upstreams });
    }

    /// Accepts on a socket until the sender that is returned goes away.
    fn accept(self: &Rc<Self>, listener: &Name, socket: Socket) -> oneshot::Sender<()> {
        let (stop, mut stopped) = oneshot::channel();
        let (worker, listener) = (Rc::clone(self), listener.clone());
        tokio::task::spawn_local(async move {
            let Ok(socket) = socket.start() else { return };
            let mut drained = worker.settings.drain.clone();
            loop {
                let arrival = tokio::select! {
                    biased;
                    _ = &mut stopped => return,
                    () = drained.started() => return,
                    arrival = poll_fn(|context| socket.poll_accept(context)) => arrival,
                };
                match arrival {
                    Ok(arrival) => {
                        let serving = listen::serve(Rc::clone(&worker), listener.clone(), arrival);
                        tokio::task::spawn_local(serving);
                    }
                    // Out of descriptors, or a caller that left: neither may end the loop.
                    Err(_) => tokio::time::sleep(listen::ACCEPT_PAUSE).await,
                }
            }
        });
        stop
    }

    fn report(&self) -> WorkerReport {
        let view = self.view();
        let mut hosts: Vec<_> = view
            .upstreams
            .values()
            .flat_map(|upstream| upstream.status())
            .collect();
        hosts.sort_by(|a, b| (&a.cluster, &a.address).cmp(&(&b.cluster, &b.address)));
        WorkerReport {
            series: self.metrics.borrow().snapshot(),
            tcp: self.metrics.borrow().tcp_snapshot(),
            connections: self.connections.get(),
            refused: self.refused.get(),
            denied: self.denied.get(),
            handshake_failures: self.handshake_failures.get(),
            limited: self.limits.limited(),
            limited_on_trial: self.limits.limited_on_trial(),
            hosts,
        }
    }
}

impl View {
    pub(crate) fn upstream(&self, cluster: &str) -> Option<&Rc<Upstream>> {
        self.upstreams.get(cluster)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

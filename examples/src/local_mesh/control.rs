//! The control plane and the CA, which a mesh can be without for a while.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesh_ca::{
    Authority, AuthoritySource, CaService,
    attest::{CertificateAttestor, TokenIssuer},
};
use mesh_core::{
    config::{Change, ConfigSet, Problem, Resource, Severity, Spec},
    dataplane::AccessLogFormat,
    identity::SpiffeId,
    mesh::MeshDefaults,
    name::{IpNetwork, Labels, ResourceRef},
};
use mesh_tls::{
    Acceptor, CredentialsKeeper, CredentialsReader, ExpectedIdentities, MeshClients,
    RenewalSchedule, ServerSecurity, ServerSettings, TlsContext, TlsVersions,
    grpc::{Incoming, Routes, serve},
};
use mesh_xds::{
    NodeStatus, SnapshotCache, XdsServer,
    control::{
        ControlEvent, ControlHandle, ControlOptions, ControlPlane, Debounce,
        source::{DirectorySource, MemoryHandle, MemorySource},
    },
};
use tokio::{
    runtime::{self, Runtime},
    sync::{broadcast, mpsc, watch},
};

use super::{MeshEvent, StartError, images};

/// Changes take effect once nothing more was written for so long. Istio waits longer, for large
/// meshes; a person at an editor need not.
const DEBOUNCE: Debounce = Debounce {
    quiet: Duration::from_millis(20),
    longest: Duration::from_secs(1),
};

/// What a control plane is started with, and again after it was stopped.
pub(super) struct ControlSettings {
    pub(super) address: SocketAddr,
    pub(super) paths: Vec<PathBuf>,
    pub(super) services: IpNetwork,
    pub(super) identity: SpiffeId,
    pub(super) authority: Arc<Authority>,
    pub(super) tokens: Arc<TokenIssuer>,
    pub(super) tls: TlsContext,
}

/// The control plane's place: it may be empty for a while.
pub(super) struct Control {
    settings: ControlSettings,
    events: broadcast::Sender<MeshEvent>,
    state: Mutex<State>,
    running: watch::Sender<Option<ControlHandle>>,
    config: watch::Sender<Arc<ConfigSet>>,
    problems: watch::Sender<Arc<Vec<Problem>>>,
}

#[derive(Default)]
struct State {
    /// What runs, to be told again after a restart.
    told: BTreeMap<ResourceRef, Arc<Resource>>,
    memory: Option<MemoryHandle>,
    /// What is wrong with what is written, beyond what the control plane knows of.
    unmet: Vec<Problem>,
    /// Its own, so that stopping it ends every task and connection, as the end of a process would.
    runtime: Option<Runtime>,
}

impl Control {
    /// Where control plane and gateway live, as in a cluster.
    pub(super) const NAMESPACE: &str = "istio-system";

    pub(super) fn new(settings: ControlSettings, events: broadcast::Sender<MeshEvent>) -> Self {
        // A mesh of which nothing is written is a mesh nevertheless: it has this much.
        let own = Resource::in_memory("", Self::NAMESPACE, Labels::default(), Spec::Namespace);
        let state = State {
            told: [(own.reference.clone(), Arc::new(own))].into(),
            ..State::default()
        };
        Self {
            settings,
            events,
            state: Mutex::new(state),
            running: watch::Sender::default(),
            config: watch::Sender::default(),
            problems: watch::Sender::default(),
        }
    }

    /// Starts to serve.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let listener = TcpListener::bind(self.settings.address)?;
        listener.set_nonblocking(true)?;
        let directory = DirectorySource::new(self.settings.paths.clone())
            .map_err(|error| StartError::Path(error.to_string()))?
            .except(images::FILE_NAME);
        let mut state = self.lock();
        let told = state.told.values().cloned().map(Change::Put).collect();
        let (memory, pods) = MemorySource::new(told);
        let mut plane = ControlPlane::new(self.options())
            .source(directory)
            .source(pods);
        let (handle, cache, events) = (plane.handle(), plane.cache(), plane.events());
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control-plane")
            .enable_all()
            .build()?;
        runtime.spawn(plane.run());
        runtime.spawn(Arc::clone(self).follow_config(handle.clone()));
        runtime.spawn(Arc::clone(self).follow_events(events));
        runtime.spawn(Arc::clone(self).serve(listener, cache));
        *state = State {
            memory: Some(memory),
            runtime: Some(runtime),
            told: std::mem::take(&mut state.told),
            unmet: std::mem::take(&mut state.unmet),
        };
        drop(state);
        self.running.send_replace(Some(handle));
        Ok(())
    }

    /// Ends it at once. Proxies go on with what they have.
    pub(super) fn stop(&self) {
        self.running.send_replace(None);
        let mut state = self.lock();
        state.memory = None;
        if let Some(runtime) = state.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Tells of what runs, or no longer does.
    pub(super) async fn tell(&self, change: Change) {
        let memory = {
            let mut state = self.lock();
            match &change {
                Change::Put(resource) => {
                    let reference = resource.reference.clone();
                    state.told.insert(reference, Arc::clone(resource));
                }
                Change::Remove(reference) => drop(state.told.remove(reference)),
            }
            state.memory.clone()
        };
        if let Some(memory) = memory {
            memory.change(change).await;
        }
    }

    /// Waits until a change that was told is part of what is in effect.
    pub(super) async fn known(&self, change: &Change) {
        let is_known = |set: &Arc<ConfigSet>| match change {
            Change::Put(resource) => set.resource(&resource.reference) == Some(resource),
            Change::Remove(reference) => set.resource(reference).is_none(),
        };
        // An error means that nothing will be known any more.
        let _ = self.config.subscribe().wait_for(is_known).await;
    }

    /// What is written, now and from now on; empty before it was read.
    pub(super) fn config(&self) -> watch::Receiver<Arc<ConfigSet>> {
        self.config.subscribe()
    }

    /// What is wrong with it, now and from now on.
    pub(super) fn problems(&self) -> watch::Receiver<Arc<Vec<Problem>>> {
        self.problems.subscribe()
    }

    /// Waits until these proxies run on what is written, or refuse part of it. While there is no
    /// control plane, waits for one. Returns what is refused, by pod, in the proxies' own words.
    pub(super) async fn wait_applied(&self, nodes: &[String]) -> BTreeMap<String, String> {
        let mut running = self.running.subscribe();
        loop {
            let handle = running.wait_for(Option::is_some).await;
            let Ok(Some(handle)) = handle.map(|handle| handle.clone()) else {
                return BTreeMap::new();
            };
            tokio::select! {
                status = handle.wait_applied(nodes) => return refused(&status),
                _ = running.changed() => {}
            }
        }
    }

    fn options(&self) -> ControlOptions {
        ControlOptions {
            defaults: MeshDefaults {
                virtual_addresses: Some(self.settings.services),
                ..MeshDefaults::default()
            },
            roots_pem: Some(self.settings.authority.roots_pem()),
            access_log: Some(AccessLogFormat::Text(AccessLogFormat::ISTIO_TEXT.into())),
            debounce: DEBOUNCE,
            ..ControlOptions::default()
        }
    }

    async fn follow_config(self: Arc<Self>, handle: ControlHandle) {
        let mut config = handle.config();
        // The first value is that of a control plane that has read nothing yet.
        while config.changed().await.is_ok() {
            let set = Arc::clone(&config.borrow_and_update());
            self.config.send_replace(set);
        }
    }

    async fn follow_events(self: Arc<Self>, mut events: mpsc::Receiver<ControlEvent>) {
        while let Some(event) = events.recv().await {
            match event {
                ControlEvent::Applied { problems, .. } => self.found(problems, true),
                ControlEvent::Planned { problems, .. } => self.found(problems, false),
                ControlEvent::Refused { node, detail, .. } => {
                    let pod = pod_of(&node).to_owned();
                    let _ = self.events.send(MeshEvent::Refused { pod, detail });
                }
                ControlEvent::Trouble(reason) => {
                    let _ = self.events.send(MeshEvent::Trouble(reason));
                }
                _ => {}
            }
        }
    }

    /// Takes in what the manifests of pods ask for in vain, in place of what they did before.
    pub(super) fn unmet(&self, unmet: Vec<Problem>) {
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.unmet, unmet);
        let before = Arc::clone(&self.problems.borrow());
        let others = before.iter().filter(|problem| !old.contains(problem));
        self.compare(others.chain(&state.unmet).cloned().collect());
    }

    /// Takes in what the control plane found.
    fn found(&self, mut problems: Vec<Problem>, is_all: bool) {
        // Held to the end, so that of two who find something one comes after the other.
        let state = self.lock();
        match is_all {
            true => problems.extend(state.unmet.iter().cloned()),
            false => problems.extend(self.problems.borrow().iter().cloned()),
        }
        self.compare(problems);
    }

    /// Tells of the problems that are new.
    fn compare(&self, mut problems: Vec<Problem>) {
        let before = Arc::clone(&self.problems.borrow());
        problems.sort();
        problems.dedup();
        let mut new: Vec<_> = problems
            .iter()
            .filter(|p| !before.contains(p))
            .cloned()
            .collect();
        // What stays in force is worth saying again of an edit that is broken anew.
        let broken: Vec<_> = new.iter().filter(|p| p.is_error()).cloned().collect();
        let stays = problems.iter().filter(|note| {
            let is_of = |error: &Problem| match &error.resource {
                Some(_) => error.resource == note.resource,
                None => error.source.file == note.source.file,
            };
            note.severity == Severity::Info && before.contains(note) && broken.iter().any(is_of)
        });
        new.extend(stays.cloned());
        // What is wrong comes before what became of it.
        new.sort_by_key(|problem| problem.severity);
        let event = match (new.is_empty(), problems.is_empty() && !before.is_empty()) {
            (false, _) => Some(MeshEvent::Problems(new)),
            (true, true) => Some(MeshEvent::Sound),
            (true, false) => None,
        };
        self.problems.send_replace(Arc::new(problems));
        if let Some(event) = event {
            let _ = self.events.send(event);
        }
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, cache: SnapshotCache) {
        let ControlSettings {
            authority,
            tokens,
            tls,
            identity,
            ..
        } = &self.settings;
        let trust_domain = authority.trust_domain().clone();
        let source = AuthoritySource {
            authority: Arc::clone(authority),
            identity: identity.clone(),
        };
        let schedule = RenewalSchedule::default();
        let keeper = CredentialsKeeper::start(source, schedule, tls.clone(), |_| {}).await;
        let acceptor = acceptor(keeper.reader(), tls);
        tokio::spawn(keeper.run());
        let ca = CaService::new(
            Arc::clone(authority),
            vec![
                Box::new(tokens.attestor(trust_domain.clone())),
                Box::new(CertificateAttestor { trust_domain }),
            ],
        );
        let services = Routes::new(ca).add_service(XdsServer::new(cache));
        let served = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => serve(Incoming::new(listener, acceptor), services)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = served {
            let _ = self.events.send(MeshEvent::Trouble(reason));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What proxies refuse of what they are served now, by pod.
fn refused(status: &BTreeMap<String, NodeStatus>) -> BTreeMap<String, String> {
    let refusing = status
        .iter()
        .filter(|(_, status)| !status.refused.is_empty());
    let told = refusing.map(|(node, status)| {
        let details: Vec<_> = status.refused.values().map(String::as_str).collect();
        (pod_of(node).to_owned(), details.join("\n"))
    });
    told.collect()
}

/// `<pod>.<namespace>` of a node's id.
fn pod_of(node: &str) -> &str {
    node.split('~').nth(2).unwrap_or(node)
}

/// Callers show a certificate or, before they have one, none.
fn acceptor(credentials: CredentialsReader, tls: &TlsContext) -> Arc<Acceptor> {
    let settings = ServerSettings {
        alpn: vec![b"h2".to_vec()],
        versions: TlsVersions::Both,
        security: ServerSecurity::Mesh {
            credentials,
            clients: MeshClients::IdentifiedOrAnonymous(ExpectedIdentities::Any),
        },
    };
    let acceptor = Acceptor::new(settings, tls.clone());
    Arc::new(acceptor.expect("settings that depend on nobody's input"))
}

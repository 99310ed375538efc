//! The control plane: what is written becomes what each proxy is served.
//!
//! Sources tell what is written; once nothing more comes for a while it is resolved to a mesh,
//! planned for every node with a stream, and put into the cache that an
//! [`XdsServer`](crate::XdsServer) serves.

mod event;
mod store;

pub mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::Arc,
};

use mesh_core::{
    config::{ConfigSet, Problem},
    dataplane::{AccessLogFormat, Node, Snapshot, Tracing},
    mesh::{Mesh, MeshDefaults},
    plan::{PlanOptions, Planner},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

pub use event::{ControlEvent, MAX_EVENTS};
pub use store::{ConfigStore, Debounce};

use crate::cache::{NodeStatus, SnapshotCache};
use event::Reporter;
use source::{ConfigSource, SourceEvent, SourceSink};

/// So many source events may wait to be taken in.
const MAX_CHANGES: usize = 1024;

/// What a control plane takes from the one who runs it rather than from what users wrote.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// What holds where nothing is written.
    pub defaults: MeshDefaults,
    /// PEM of the roots that workloads trust, served as the secret `ROOTCA`. Our proxies ask for it
    /// and wait for [`RESOURCE_WAIT`](crate::protocol::RESOURCE_WAIT) before they go on without.
    pub roots_pem: Option<String>,
    /// Key sets by the address that RequestAuthentications name for them. Tokens whose keys are
    /// not here are refused.
    pub key_sets: Arc<BTreeMap<String, String>>,
    /// One line per request and connection to each proxy's own output, in this format.
    pub access_log: Option<AccessLogFormat>,
    /// Which requests are traced.
    pub tracing: Option<Tracing>,
    /// When changes take effect.
    pub debounce: Debounce,
}

impl Default for ControlOptions {
    fn default() -> Self {
        let PlanOptions {
            access_log,
            tracing,
            ..
        } = PlanOptions::default();
        Self {
            defaults: MeshDefaults::default(),
            roots_pem: None,
            key_sets: Arc::default(),
            access_log,
            tracing,
            debounce: Debounce::default(),
        }
    }
}

/// Plans for every proxy of a mesh, and plans again whenever something changes.
pub struct ControlPlane {
    options: ControlOptions,
    cache: SnapshotCache,
    sources: Vec<RunSource>,
    config: watch::Sender<Arc<ConfigSet>>,
    events: Option<mpsc::Sender<ControlEvent>>,
}

type RunSource = Box<dyn FnOnce(SourceSink) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Looks at a control plane while it runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ControlHandle {
    cache: SnapshotCache,
    config: watch::Receiver<Arc<ConfigSet>>,
}

impl ControlPlane {
    /// A control plane without sources.
    pub fn new(options: ControlOptions) -> Self {
        Self {
            options,
            cache: SnapshotCache::default(),
            sources: Vec::new(),
            config: watch::Sender::default(),
            events: None,
        }
    }

    /// Plans what this source holds, too. Nothing is planned before every source has loaded.
    #[must_use]
    pub fn source(mut self, source: impl ConfigSource) -> Self {
        let run: RunSource = Box::new(move |sink| Box::pin(source.run(sink)));
        self.sources.push(run);
        self
    }

    /// What happens, for people and tests to see. Events that nobody takes in time are lost.
    pub fn events(&mut self) -> mpsc::Receiver<ControlEvent> {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        self.events = Some(sender);
        events
    }

    /// What is served: give it to an [`XdsServer`](crate::XdsServer).
    pub fn cache(&self) -> SnapshotCache {
        self.cache.clone()
    }

    /// A look at this control plane from elsewhere.
    pub fn handle(&self) -> ControlHandle {
        ControlHandle {
            cache: self.cache.clone(),
            config: self.config.subscribe(),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let (sender, mut changes) = mpsc::channel::<SourceEvent>(MAX_CHANGES);
        let mut store = ConfigStore::new(
            self.sources.len(),
            self.options.debounce,
            self.options.defaults.clone(),
        );
        let mut running = JoinSet::new();
        for run in self.sources {
            running.spawn(run(sender.clone()));
        }
        let mut planning = Planning {
            planner: Planner::default(),
            options: self.options,
            cache: self.cache.clone(),
            reporter: Reporter::new(self.events),
            mesh: None,
            planned: BTreeMap::new(),
            found: Vec::new(),
            reported: Vec::new(),
            told: BTreeSet::new(),
        };
        let mut nodes = self.cache.changes();
        loop {
            let due = store.due();
            tokio::select! {
                Some(change) = changes.recv() => {
                    if let Some(reason) = store.take(change, Instant::now()) {
                        planning.reporter.report(ControlEvent::Trouble(reason));
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let set = planning.resolve(&mut store);
                    planning.plan();
                    self.config.send_replace(set);
                }
                Ok(()) = nodes.changed() => planning.plan(),
            }
            planning.reporter.compare(&self.cache.status());
        }
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane")
            .field("options", &self.options)
            .field("cache", &self.cache)
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

impl ControlHandle {
    /// The configuration in effect, now and from now on; of version zero before the first.
    pub fn config(&self) -> watch::Receiver<Arc<ConfigSet>> {
        self.config.clone()
    }

    /// What every node made of what it was served, by node id.
    pub fn status(&self) -> BTreeMap<String, NodeStatus> {
        self.cache.status()
    }

    /// Waits until these nodes run on the configuration that is in effect now, or refuse part of
    /// it. Returns what each made of it.
    pub async fn wait_applied(&self, node_ids: &[String]) -> BTreeMap<String, NodeStatus> {
        let mut config = self.config.clone();
        // An error means that the control plane is gone: what it planned last is what there is.
        let current = config
            .wait_for(|config| config.version() > 0)
            .await
            .map(|config| config.version())
            .unwrap_or_default();
        self.cache.wait_applied(node_ids, current).await
    }
}

/// From the written configuration to snapshots in the cache.
struct Planning {
    planner: Planner,
    options: ControlOptions,
    cache: SnapshotCache,
    reporter: Reporter,
    mesh: Option<Arc<Mesh>>,
    /// For which node, as it described itself, which version was planned last, and how.
    planned: BTreeMap<String, (Arc<Node>, u64, Arc<Snapshot>)>,
    /// Problems of the last full resolution.
    found: Vec<Problem>,
    /// Problems of the last version that was reported.
    reported: Vec<Problem>,
    /// Problems that were told already, those of plans included.
    told: BTreeSet<Problem>,
}

impl Planning {
    fn resolve(&mut self, store: &mut ConfigStore) -> Arc<ConfigSet> {
        let (set, mut problems) = store.version();
        let version = set.version();
        let fast = self.mesh.as_ref().and_then(|mesh| mesh.with_instances(set));
        let is_fast = fast.is_some();
        let mesh = fast.unwrap_or_else(|| {
            let defaults = &self.options.defaults;
            let (mesh, found) = match &self.mesh {
                Some(before) => before.next(set, defaults),
                None => Mesh::resolve(set, defaults),
            };
            self.found = found;
            mesh
        });
        self.mesh = Some(mesh);
        problems.extend(self.found.iter().cloned());
        // Instances come and go without a word; a broken file may change nothing but problems.
        if !is_fast || problems != self.reported {
            self.told = problems.iter().cloned().collect();
            self.reported.clone_from(&problems);
            self.reporter
                .report(ControlEvent::Applied { version, problems });
        }
        Arc::new(set.clone())
    }

    /// Plans for the nodes that have a stream and no plan of this version.
    fn plan(&mut self) {
        let Some(mesh) = &self.mesh else { return };
        let options = PlanOptions {
            roots_pem: self.options.roots_pem.as_deref(),
            key_sets: self.options.key_sets.clone(),
            access_log: self.options.access_log.clone(),
            tracing: self.options.tracing.clone(),
        };
        let connected = self.cache.connected();
        let ids: BTreeSet<String> = connected.iter().map(|node| node.id()).collect();
        self.planned.retain(|id, _| ids.contains(id));
        for node in connected {
            let version = mesh.version();
            let known = self.planned.get(&node.id());
            let known = known.filter(|(as_it_was, ..)| *as_it_was == node);
            if known.is_some_and(|(_, planned, _)| *planned == version) {
                continue;
            }
            let (snapshot, problems) = self.planner.plan(mesh, &node, &options);
            match known {
                Some((.., served)) if Arc::ptr_eq(served, &snapshot) => {
                    self.cache.keep(&node, version);
                }
                _ => self.cache.put(&node, version, &snapshot),
            }
            self.planned
                .insert(node.id(), (node.clone(), version, snapshot));
            let new: Vec<Problem> = problems
                .into_iter()
                .filter(|problem| self.told.insert(problem.clone()))
                .collect();
            if !new.is_empty() {
                self.reporter.report(ControlEvent::Planned {
                    node: node.id(),
                    problems: new,
                });
            }
        }
    }
}

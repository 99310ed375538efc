//! Keeps the pods running that Deployments ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use mesh_core::{config::ConfigSet, name::ResourceRef};
use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    Block, Images, MeshEvent, PodKey, PodPlan,
    life::{Stop, live},
    plan::{Wanted, wanted},
    town::Town,
};

/// The pods of a mesh, and their tasks.
pub(super) struct Reconciler {
    town: Arc<Town>,
    pods: BTreeMap<PodKey, PodTask>,
    images: Images,
    unknown: BTreeSet<super::UnknownImage>,
}

struct PodTask {
    index: u16,
    stop: oneshot::Sender<Stop>,
    task: JoinHandle<()>,
}

impl Reconciler {
    /// The place of the gateway, which no Deployment asks for.
    pub(super) const GATEWAY: u16 = 0;

    pub(super) fn new(town: Arc<Town>) -> Self {
        Self {
            town,
            pods: BTreeMap::new(),
            images: Images::default(),
            unknown: BTreeSet::new(),
        }
    }

    /// Follows what is written until `end` is there or gone, then ends every pod.
    pub(super) async fn run(mut self, mut end: oneshot::Receiver<()>) {
        let mut config = self.town.control.config();
        // What was read before anybody looked is news, too.
        config.mark_changed();
        loop {
            let changed = tokio::select! {
                _ = &mut end => break,
                changed = config.changed() => changed,
            };
            if changed.is_err() {
                break;
            }
            let set = Arc::clone(&config.borrow_and_update());
            tokio::select! {
                _ = &mut end => break,
                () = self.reconcile(&set) => {}
            }
            self.town.reconciled.send_replace(set);
        }
        self.end().await;
    }

    async fn reconcile(&mut self, set: &ConfigSet) {
        match Images::of_directories(&directories(&self.town.options.paths)) {
            Ok(images) => self.images = images,
            Err(error) => self.town.tell(MeshEvent::Trouble(error.to_string())),
        }
        let Wanted {
            pods,
            unknown,
            unmet,
        } = wanted(set, &self.images);
        self.town.control.unmet(unmet);
        for image in &unknown {
            if self.unknown.insert(image.clone()) {
                self.town.tell(MeshEvent::UnknownImage(image.clone()));
            }
        }
        self.unknown.retain(|image| unknown.contains(image));
        self.town.unknown.send_replace(unknown);
        self.start_missing(&pods).await;
        self.stop_superfluous(&pods).await;
    }

    /// Starts what is missing, all at once, and waits until each runs or has failed.
    async fn start_missing(&mut self, wanted: &BTreeMap<PodKey, Arc<PodPlan>>) {
        let mut starting = Vec::new();
        for (key, plan) in wanted {
            if self.pods.contains_key(key) {
                continue;
            }
            let Some((index, address)) = self.free_address() else {
                self.town.tell(MeshEvent::PodFailed {
                    pod: key.name.clone(),
                    reason: format!("a local mesh has at most {} pods", Block::MAX_PODS),
                });
                continue;
            };
            let (stop, stopped) = oneshot::channel();
            let (started, start) = oneshot::channel();
            let town = Arc::clone(&self.town);
            let task = tokio::spawn(live(town, Arc::clone(plan), address, started, stopped));
            starting.push(start);
            self.pods.insert(key.clone(), PodTask { index, stop, task });
        }
        for start in starting {
            // The sender goes away when the pod runs, and when it does not.
            let _ = start.await;
        }
    }

    async fn stop_superfluous(&mut self, wanted: &BTreeMap<PodKey, Arc<PodPlan>>) {
        let superfluous: Vec<_> = self
            .pods
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .cloned()
            .collect();
        for key in superfluous {
            if let Some(pod) = self.pods.remove(&key) {
                let _ = pod.stop.send(Stop::Leave);
                // Its address is free again only when it has gone.
                let _ = pod.task.await;
            }
        }
    }

    fn free_address(&self) -> Option<(u16, Ipv4Addr)> {
        let taken: BTreeSet<u16> = self.pods.values().map(|pod| pod.index).collect();
        let mut free = (Self::GATEWAY + 1..Block::MAX_PODS).filter(|index| !taken.contains(index));
        let index = free.next()?;
        Some((index, self.town.block.pod(index)?))
    }

    async fn end(self) {
        let mut ending = JoinSet::new();
        for (_, pod) in self.pods {
            let _ = pod.stop.send(Stop::End);
            ending.spawn(pod.task);
        }
        while ending.join_next().await.is_some() {}
    }
}

/// Tells, whenever something that is written changed, when it was in force everywhere, and where
/// users reach the mesh if that changed with it.
pub(super) async fn announce(town: Arc<Town>) {
    let mut config = town.control.config();
    let mut before = Arc::clone(&config.borrow_and_update());
    let mut gateways = town.gateway_addresses();
    while config.changed().await.is_ok() {
        let noticed = Instant::now();
        let set = Arc::clone(&config.borrow_and_update());
        let (changed, removed) = differences(&before, &set);
        // What there is to begin with is no change; it is told by whoever started the mesh.
        let is_first = before.version() == 0;
        before = set;
        if (changed.is_empty() && removed.is_empty()) || is_first {
            gateways = town.gateway_addresses();
            continue;
        }
        let refusals = town.settled().await;
        town.tell(MeshEvent::Applied {
            refusals,
            changed,
            removed,
            proxies: town.pods.borrow().len(),
            took: noticed.elapsed(),
        });
        let now = town.gateway_addresses();
        if now != gateways {
            town.tell(MeshEvent::Gateway(now.clone()));
            gateways = now;
        }
    }
}

/// What was added or changed in files, and what was removed.
fn differences(before: &ConfigSet, after: &ConfigSet) -> (Vec<ResourceRef>, Vec<ResourceRef>) {
    let of_files = |set: &ConfigSet| {
        let written = set
            .iter()
            .filter(|resource| !resource.source.file.is_empty());
        let by_name = written.map(|resource| (resource.reference.clone(), Arc::clone(resource)));
        by_name.collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (of_files(before), of_files(after));
    let changed = after.iter().filter(|(name, resource)| {
        // A resource that only moved within its file says the same.
        before
            .get(*name)
            .is_none_or(|old| old.spec != resource.spec || old.metadata != resource.metadata)
    });
    let removed = before.keys().filter(|name| !after.contains_key(*name));
    (
        changed.map(|(name, _)| name).cloned().collect(),
        removed.cloned().collect(),
    )
}

/// The directories in which a `local.yaml` may lie.
pub(super) fn directories(paths: &[PathBuf]) -> Vec<PathBuf> {
    let directory = |path: &PathBuf| match path.is_dir() {
        true => path.clone(),
        false => path.parent().map(PathBuf::from).unwrap_or_default(),
    };
    let mut directories: Vec<_> = paths.iter().map(directory).collect();
    directories.dedup();
    directories
}

/// Waits until the pods of what is written now run.
pub(super) async fn reconciled(town: &Town, config: &mut watch::Receiver<Arc<ConfigSet>>) {
    let mut done = town.reconciled.subscribe();
    loop {
        let current = Arc::clone(&config.borrow_and_update());
        if current.version() > 0 && Arc::ptr_eq(&current, &done.borrow_and_update()) {
            return;
        }
        tokio::select! {
            changed = config.changed() => if changed.is_err() { return },
            changed = done.changed() => if changed.is_err() { return },
        }
    }
}

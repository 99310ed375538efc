//! Which instances are left out for a while, by what this worker saw of them.

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use mesh_routing::{
    EndpointIndex, Loads,
    resilience::{Outcome, OutlierDetector},
};

use super::Upstream;
use crate::live::{Instances, LiveCluster};

/// Watches the instances of one cluster.
pub(super) struct Outlier {
    detector: RefCell<OutlierDetector>,
    started: Instant,
    /// Another one has taken over: what is still under way on this one's account counts no more.
    retired: Cell<bool>,
}

impl Outlier {
    /// For a cluster that wants it; instances that stay are judged on, and whoever is not watched
    /// any more is in use again.
    pub(super) fn of(
        cluster: &LiveCluster,
        loads: &Loads,
        before: Option<&Upstream>,
    ) -> Option<Self> {
        let Instances::Listed(listed) = &cluster.instances else {
            return None;
        };
        let previous = before.and_then(|before| Some((before, before.outlier.as_ref()?)));
        if let Some((_, previous)) = previous {
            previous.retired.set(true);
        }
        let watching = cluster.planned.outlier.map(|settings| match previous {
            Some((upstream, previous)) => {
                let positions = match &upstream.cluster.instances {
                    Instances::Listed(old) => listed.balancer.positions_in(&old.balancer),
                    Instances::NamedByCaller(_) => vec![None; listed.balancer.len()],
                };
                let detector = previous.detector.borrow().carried(settings, &positions);
                (detector, previous.started)
            }
            None => {
                let detector = OutlierDetector::new(settings, listed.balancer.len());
                (detector, Instant::now())
            }
        });
        for (index, _) in listed.balancer.endpoints() {
            let ejected = watching
                .as_ref()
                .is_some_and(|(detector, _)| detector.is_ejected(index));
            set_ejected(loads, index, ejected);
        }
        let (detector, started) = watching?;
        Some(Self {
            detector: RefCell::new(detector),
            started,
            retired: Cell::new(false),
        })
    }

    /// Takes note of how an attempt ended.
    pub(super) fn record(&self, instance: EndpointIndex, outcome: &Outcome, loads: &Loads) {
        if self.retired.get() {
            return;
        }
        let now = self.started.elapsed();
        let mut detector = self.detector.borrow_mut();
        if detector.record(instance, outcome, now).is_some() {
            set_ejected(loads, instance, true);
        }
    }

    /// Lets instances back whose time is over.
    pub(super) fn sweep(&self, loads: &Loads) {
        let mut detector = self.detector.borrow_mut();
        detector.sweep(self.started.elapsed(), |instance| {
            set_ejected(loads, instance, false);
        });
    }
}

fn set_ejected(loads: &Loads, instance: EndpointIndex, ejected: bool) {
    if let Some(load) = loads.endpoint(instance) {
        load.set_ejected(ejected);
    }
}

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use super::{Balancer, EndpointIndex};

/// What one worker knows about a cluster's instances: requests under way, who is ejected, whose
/// turn it is. Every worker has its own, so its counters are never contended.
#[derive(Debug)]
pub struct Loads {
    endpoints: Box<[Arc<EndpointLoad>]>,
    /// How many are ejected, so that nobody looks for them while there are none.
    ejected: Arc<AtomicU32>,
    turns: Box<[AtomicU32]>,
}

/// What one worker knows about one instance. Kept while requests are under way, also when the set
/// of instances changes meanwhile.
#[derive(Debug)]
pub struct EndpointLoad {
    in_flight: AtomicU32,
    ejected: AtomicBool,
    ejected_of_all: Arc<AtomicU32>,
}

impl Loads {
    /// For a balancer whose instances have done nothing yet.
    pub fn new(balancer: &Balancer) -> Self {
        let unknown = vec![None; balancer.len()];
        Self::build(balancer, Arc::default(), unknown)
    }

    /// For a balancer that takes the place of another: instances with the same address keep what is
    /// known of them.
    pub fn carried(balancer: &Balancer, old: &Balancer, loads: &Self) -> Self {
        let positions = balancer.positions_in(old).into_iter();
        let known = positions.map(|position| loads.endpoint(position?).cloned());
        Self::build(balancer, Arc::clone(&loads.ejected), known)
    }

    fn build(
        balancer: &Balancer,
        ejected: Arc<AtomicU32>,
        known: impl IntoIterator<Item = Option<Arc<EndpointLoad>>>,
    ) -> Self {
        Self {
            endpoints: known
                .into_iter()
                .map(|load| load.unwrap_or_else(|| EndpointLoad::new(&ejected)))
                .collect(),
            turns: balancer
                .set
                .localities
                .iter()
                .map(|_| AtomicU32::new(0))
                .collect(),
            ejected,
        }
    }

    /// One instance's.
    pub fn endpoint(&self, index: EndpointIndex) -> Option<&Arc<EndpointLoad>> {
        self.endpoints.get(index.0 as usize)
    }

    pub(super) fn in_flight(&self, index: EndpointIndex) -> u32 {
        self.endpoint(index).map_or(0, |load| load.in_flight())
    }

    pub(super) fn any_ejected(&self) -> bool {
        self.ejected.load(Relaxed) > 0
    }

    pub(super) fn is_ejected(&self, index: EndpointIndex) -> bool {
        self.endpoint(index).is_some_and(|load| load.is_ejected())
    }

    /// Whose turn it is in a locality, and it is the next one's from now on.
    pub(super) fn turn(&self, locality: usize) -> u32 {
        self.turns
            .get(locality)
            .map_or(0, |turn| turn.fetch_add(1, Relaxed))
    }
}

impl EndpointLoad {
    fn new(ejected_of_all: &Arc<AtomicU32>) -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicU32::new(0),
            ejected: AtomicBool::new(false),
            ejected_of_all: Arc::clone(ejected_of_all),
        })
    }

    /// A request sets out.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// A request that set out is over.
    pub fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Leaves the instance out, or takes it in again, as outlier detection says.
    pub fn set_ejected(&self, ejected: bool) {
        match (self.ejected.swap(ejected, Relaxed), ejected) {
            (false, true) => _ = self.ejected_of_all.fetch_add(1, Relaxed),
            (true, false) => _ = self.ejected_of_all.fetch_sub(1, Relaxed),
            _ => {}
        }
    }

    /// Whether the instance is left out.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }
}

impl Drop for EndpointLoad {
    fn drop(&mut self) {
        self.set_ejected(false);
    }
}

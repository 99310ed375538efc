use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use mesh_core::dataplane::{CircuitLimits, RetryBudget};

/// Counts what a cluster is given, and says when it is enough. One per worker and cluster: limits
/// hold for each worker, and counters are never contended.
#[derive(Debug, Default)]
pub struct CircuitBreaker {
    connections: Counter,
    pending: Counter,
    requests: Counter,
    retries: Counter,
}

#[derive(Debug, Default)]
struct Counter(Arc<AtomicU32>);

/// Leave to do one thing. Dropping it gives the place back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Admission(Arc<AtomicU32>);

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Overflow {
    /// Connections.
    #[error("the cluster has as many connections as it may")]
    Connections,
    /// Requests waiting for a connection.
    #[error("as many requests wait for a connection as may")]
    Pending,
    /// Requests under way.
    #[error("as many requests are under way as may")]
    Requests,
    /// Retries under way.
    #[error("as many retries are under way as may")]
    Retries,
}

impl CircuitBreaker {
    /// Asks for leave to open a connection.
    pub fn connection(&self, limits: &CircuitLimits) -> Result<Admission, Overflow> {
        self.connections
            .admit(limits.max_connections, Overflow::Connections)
    }

    /// Asks for leave to wait for a connection.
    pub fn pending(&self, limits: &CircuitLimits) -> Result<Admission, Overflow> {
        self.pending
            .admit(limits.max_pending_requests, Overflow::Pending)
    }

    /// Asks for leave to send a request.
    pub fn request(&self, limits: &CircuitLimits) -> Result<Admission, Overflow> {
        self.requests.admit(limits.max_requests, Overflow::Requests)
    }

    /// Asks for leave to try again. A budget takes the place of a fixed number: so many retries as
    /// are its share of the requests under way and waiting, rounded down, or its least number.
    pub fn retry(&self, limits: &CircuitLimits) -> Result<Admission, Overflow> {
        let limit = match limits.retry_budget {
            Some(budget) => Some(self.budgeted(&budget)),
            None => limits.max_retries,
        };
        self.retries.admit(limit, Overflow::Retries)
    }

    fn budgeted(&self, budget: &RetryBudget) -> u32 {
        let [_, pending, requests, _] = self.in_use().map(u64::from);
        let part = (requests + pending) * u64::from(budget.share.parts()) / 1_000_000;
        u32::try_from(part)
            .unwrap_or(u32::MAX)
            .max(budget.min_concurrency)
    }

    /// How many of each are under way: connections, waiting requests, requests, retries.
    pub fn in_use(&self) -> [u32; 4] {
        [
            &self.connections,
            &self.pending,
            &self.requests,
            &self.retries,
        ]
        .map(|counter| counter.0.load(Relaxed))
    }
}

impl Counter {
    fn admit(&self, limit: Option<u32>, overflow: Overflow) -> Result<Admission, Overflow> {
        let before = self.0.fetch_add(1, Relaxed);
        let admission = Admission(Arc::clone(&self.0));
        match limit {
            Some(limit) if before >= limit => Err(overflow),
            _ => Ok(admission),
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

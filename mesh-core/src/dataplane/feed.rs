use std::{fmt, future::Future, sync::Arc};

use serde::Serialize;

use super::{Name, Snapshot};

/// Where a proxy's plans come from. The only thing a proxy needs from a control plane.
///
/// Updates and verdicts alternate: every update is answered by one verdict before the next is asked
/// for.
pub trait ConfigFeed {
    /// Waits for the next plan; none when there will be no more.
    fn next(&mut self) -> impl Future<Output = Option<Update>> + Send;

    /// Says what became of the last one.
    fn reply(&mut self, verdict: Verdict) -> impl Future<Output = ()> + Send;
}

/// A whole and consistent plan: nothing in it refers to what is still on its way.
#[derive(Debug, Clone)]
pub struct Update {
    /// The plan.
    pub snapshot: Arc<Snapshot>,
}

/// What became of a plan. Resources that were refused keep their last good version in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Resources that cannot be run; empty means everything is in force.
    pub refusals: Vec<Refusal>,
}

/// A planned resource that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its name.
    pub name: Name,
    /// What is wrong, naming the field and the written resource where known.
    pub reason: String,
}

/// The types of planned resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// Clusters (CDS).
    Cluster,
    /// Endpoint sets (EDS).
    Endpoints,
    /// Listeners (LDS).
    Listener,
    /// Route tables (RDS).
    Routes,
    /// Secrets (SDS).
    Secret,
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Endpoints => "endpoints of cluster",
            Self::Listener => "listener",
            Self::Routes => "route table",
            Self::Secret => "secret",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.resource_type, self.name, self.reason)
    }
}

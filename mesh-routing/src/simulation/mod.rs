//! A whole mesh on paper: who calls whom, proxy by proxy, without a socket.
//!
//! [`Simulation::ask`] follows a [`Question`] as a network would: the application resolves the
//! host, its proxy captures the connection and decides, the instance's proxy decides again, and so
//! on through gateways until an application is reached or somebody says no. Every proxy is planned
//! and compiled when it is first met, and kept. The [`Account`] that comes back holds each proxy's
//! [`Explanation`](crate::explain::Explanation) and one outcome.
//!
//! This is the only place of this crate that knows the resolved mesh and how it is planned.
//!
//! What a simulation assumes: applications answer 200 to whatever reaches them; a workload has a
//! proxy if its `security.istio.io/tlsMode` label says `istio` or a Gateway selects it; names that
//! no service has are somewhere outside; every proxy throws the same dice.

mod account;
mod address;
mod diff;
mod judge;
mod lines;
mod party;
mod print;
mod request;
mod target;
mod walk;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use account::{Account, Hop, Resolved};
pub use diff::{Change, Class, Diff, DiffLimits, diff};
pub use judge::{CaseReport, Difference};
pub use lines::{Line, LineKind};
use mesh_core::{
    dataplane::NodeKind,
    mesh::{Mesh, MeshTest, Question, Workload},
    plan::{PlanOptions, Planner, Problem},
};
pub use party::Unanswerable;

use crate::explain::PaperProxy;

/// A mesh that can be asked what becomes of calls. Cheap to make: nothing is planned before it is
/// needed. Everything that was planned is kept as long as the simulation.
#[derive(Debug)]
pub struct Simulation {
    mesh: Arc<Mesh>,
    plans: Mutex<Plans>,
}

#[derive(Debug, Default)]
struct Plans {
    /// What proxies have in common is planned once.
    planner: Planner,
    /// By namespace and name of the workload.
    planned: BTreeMap<(Arc<str>, Arc<str>), Arc<Planned>>,
}

/// A proxy, planned and compiled.
#[derive(Debug)]
pub struct Planned {
    /// What it does.
    pub kind: NodeKind,
    /// Its plan in force.
    pub proxy: PaperProxy,
    /// What could not be planned as it was meant.
    pub problems: Vec<Problem>,
}

impl Simulation {
    /// A simulation of a mesh.
    pub fn new(mesh: Arc<Mesh>) -> Self {
        Self {
            mesh,
            plans: Mutex::default(),
        }
    }

    /// The mesh.
    pub fn mesh(&self) -> &Arc<Mesh> {
        &self.mesh
    }

    /// What becomes of a call.
    pub fn ask(&self, question: &Question) -> Result<Account, Unanswerable> {
        walk::walk(self, question)
    }

    /// Asks every case of a test, in order, and compares.
    pub fn judge(&self, test: &MeshTest) -> Vec<CaseReport> {
        let cases = test.cases.iter();
        cases.map(|case| judge::judge(self, case)).collect()
    }

    /// The proxy of a workload; planned now, if it was not before.
    pub fn proxy(&self, workload: &Workload) -> Arc<Planned> {
        let Plans { planner, planned } = &mut *self.lock();
        let key = (workload.namespace.clone(), workload.name.clone());
        let proxy = planned.entry(key).or_insert_with(|| {
            let node = party::node(&self.mesh, workload);
            let (snapshot, problems) = planner.plan(&self.mesh, &node, &PlanOptions::default());
            Arc::new(Planned {
                kind: node.kind,
                proxy: PaperProxy::compile(snapshot),
                problems,
            })
        });
        Arc::clone(proxy)
    }

    /// What could not be planned as it was meant, for the proxies that were met so far.
    pub fn problems(&self) -> Vec<Problem> {
        let plans = self.lock();
        let all = plans
            .planned
            .values()
            .flat_map(|planned| planned.problems.clone());
        let mut all: Vec<Problem> = all.collect();
        all.sort();
        all.dedup();
        all
    }

    fn lock(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

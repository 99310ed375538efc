//! The plan: from the resolved mesh to everything one proxy needs, with istiod's names.
//!
//! [`plan`] is a pure function: the same mesh and node give the same snapshot, byte for byte. It
//! knows Istio's semantics and which way traffic flows, so that the proxy need know neither. What
//! the mesh asks for and a plan cannot honour is returned as a problem, never dropped in silence,
//! and never in favour of the caller: a policy that cannot be judged denies.
//!
//! Reading order: [`plan`] puts a snapshot together, [`Planner`] does so for many proxies and
//! versions (`memo`); `outbound`, `inbound` and `gateway` make
//! listeners; `tables` and `rules` make routes; `clusters` and `endpoints` say where they lead;
//! `access` and `security` say who may.

mod access;
mod authorizers;
mod between;
mod chains;
mod clusters;
mod conditions;
mod connections;
mod edits;
mod endpoints;
mod gateway;
mod gateway_tables;
mod hosts;
mod http;
mod inbound;
mod limits;
mod matches;
mod memo;
mod names;
mod outbound;
mod places;
mod policy;
mod retries;
mod rules;
mod secrets;
mod security;
mod tables;
mod telemetry;
mod tokens;
mod view;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

pub use crate::config::Problem;

use crate::{
    dataplane::{AccessLogFormat, Fraction, Name, Node, Secret, SecretValue, Snapshot, Tracing},
    mesh::Mesh,
};
pub use memo::Planner;

/// What a plan takes from the one who runs the mesh rather than from what users wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions<'a> {
    /// PEM of the roots that workloads trust, planned as the secret `ROOTCA`. None leaves it to
    /// proxies to know them.
    pub roots_pem: Option<&'a str>,
    /// Key sets (RFC 7517) by the address that RequestAuthentications name for them. Tokens whose
    /// keys are not here are refused.
    pub key_sets: Arc<BTreeMap<String, String>>,
    /// One line per request and connection to the proxy's own output, in this format.
    pub access_log: Option<AccessLogFormat>,
    /// Spans; Istio starts one for 1 % of requests.
    pub tracing: Option<Tracing>,
}

impl Default for PlanOptions<'_> {
    fn default() -> Self {
        Self {
            roots_pem: None,
            key_sets: Arc::default(),
            access_log: None,
            tracing: Some(Tracing::sampling(Fraction::per_million(10_000))),
        }
    }
}

/// Plans everything for one proxy, and tells what could not be planned as it was meant.
///
/// The version of the snapshot is left empty: it follows from the content, and whoever keeps
/// snapshots gives it.
pub fn plan(mesh: &Mesh, node: &Node, options: &PlanOptions<'_>) -> (Snapshot, Vec<Problem>) {
    let (snapshot, problems) = Planner::default().plan(mesh, node, options);
    (Arc::unwrap_or_clone(snapshot), problems)
}

fn put_roots(snapshot: &mut Snapshot, pem: &str) {
    let name: Name = "ROOTCA".into();
    let secret = Secret {
        name: name.clone(),
        value: SecretValue::TrustBundle { roots: pem.into() },
    };
    snapshot.secrets.insert(name, Arc::new(secret));
}

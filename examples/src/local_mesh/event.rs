//! What happens in a mesh, for whoever wants to know.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use mesh_core::{config::Problem, name::ResourceRef};

use super::{PodFacts, UnknownImage};

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A pod answers, and the mesh knows it.
    PodUp(PodFacts),
    /// A pod has gone.
    PodDown {
        /// Its name.
        pod: String,
        /// Why, unless it was asked to.
        reason: Option<String>,
    },
    /// A pod cannot be started.
    PodFailed {
        /// Its name.
        pod: String,
        /// Why.
        reason: String,
    },
    /// A Deployment has no running instance, as one of its images stands for no program here.
    UnknownImage(UnknownImage),
    /// Something cannot be read for now, such as `local.yaml`; what was read before stays.
    Trouble(String),
    /// A change of what is written is in force, except where a proxy refuses it.
    Applied {
        /// The resources that were added or changed.
        changed: Vec<ResourceRef>,
        /// The resources that are no longer written.
        removed: Vec<ResourceRef>,
        /// How many proxies there are.
        proxies: usize,
        /// What proxies refuse of what they are served now, by pod, in their own words.
        refusals: BTreeMap<String, String>,
        /// From noticing it to the last acceptance.
        took: Duration,
    },
    /// Something is wrong with what is written, and was not before.
    Problems(Vec<Problem>),
    /// Something was wrong with what is written, and nothing is any more.
    Sound,
    /// A proxy could not run what it was sent; it stays with the last good version.
    Refused {
        /// The proxy's pod.
        pod: String,
        /// What, and why, in its own words.
        detail: String,
    },
    /// A workload has a fresh certificate.
    Renewed {
        /// The workload's pod, with its new certificate.
        pod: PodFacts,
    },
    /// A workload got no fresh certificate yet.
    NotRenewed {
        /// Its pod.
        pod: String,
        /// Why.
        reason: String,
        /// When it asks again.
        retry_in: Duration,
    },
    /// The gateway listens elsewhere than before: at these places, or nowhere.
    Gateway(Vec<SocketAddr>),
}

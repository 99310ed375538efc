//! One question to the mesh, and what the plan says the answer is.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_core::{
    dataplane::{Fraction, Name},
    identity::SpiffeId,
};

use super::words;

/// One question to the mesh, and what the plan says the answer is.
#[derive(Debug, Clone)]
pub struct Check {
    /// The rule as people call it, such as `reviews[0] end-user=jason`.
    pub rule: String,
    /// Who asks.
    pub from: String,
    /// Who is asked.
    pub to: String,
    /// How often.
    pub requests: u32,
    /// How many at once.
    pub lanes: u32,
    /// What is sent.
    pub question: Question,
    /// What is expected.
    pub expected: Expected,
}

/// A rule that is not driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The rule as people call it.
    pub rule: String,
    /// Who would ask.
    pub from: String,
    /// Who would be asked.
    pub to: String,
    /// Why not.
    pub reason: String,
}

/// A request, and where it is sent.
#[derive(Debug, Clone)]
pub struct Question {
    /// Where the connection leads.
    pub address: SocketAddr,
    /// Where it comes from: a pod's own address.
    pub source: Option<IpAddr>,
    /// The request line carries the whole URL, as to a proxy.
    pub absolute: bool,
    /// Method.
    pub method: Method,
    /// Host, and port if it is to be said.
    pub authority: String,
    /// Path without query.
    pub path: String,
    /// Query, perhaps empty.
    pub query: String,
    /// Further headers.
    pub headers: HeaderMap,
}

/// What the plan says.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// What may become of a request, each with its share; the shares sum to one.
    pub outcomes: Vec<(Outcome, f64)>,
    /// A delay, with the share of requests that suffer it.
    pub delay: Option<(Duration, Fraction)>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It goes to an instance in the mesh.
    Reaches(Reaches),
    /// It leaves the mesh: an answer is fine, and so is a 503 that says why there is none.
    Leaves {
        /// The cluster.
        cluster: Name,
    },
    /// 503: the cluster has no running instance.
    NoInstance {
        /// The cluster.
        cluster: Name,
    },
    /// The cluster does not exist.
    NoCluster {
        /// The cluster.
        cluster: Name,
        /// The status the rule asks for.
        status: u16,
    },
    /// Aborted on purpose.
    Aborted {
        /// The status the rule asks for.
        status: u16,
    },
    /// Sent elsewhere.
    Redirected {
        /// Status.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Answered by the rule itself.
    Responded {
        /// Status.
        status: u16,
    },
    /// 404: no rule is for it.
    NoRoute,
    /// The connection is closed without an answer.
    Closed,
}

/// A request that goes to an instance in the mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Reaches {
    /// The cluster; none where the instance is called without a proxy.
    pub cluster: Option<Name>,
    /// Its running instances.
    pub instances: BTreeMap<SocketAddr, Instance>,
    /// The path that arrives, without query.
    pub path: String,
    /// The route's time limit: 504 after that is as good.
    pub timeout: Option<Duration>,
}

/// A running instance, and how it takes the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its workload.
    pub workload: String,
    /// Who each side proves to be; none in clear text.
    pub mutual: Option<Mutual>,
    /// How it takes the request.
    pub welcome: Welcome,
    /// Its proxy sees requests one by one, so it can tell of them.
    pub tells: bool,
}

/// Both ends of mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutual {
    /// Who calls.
    pub caller: SpiffeId,
    /// Who is called.
    pub called: SpiffeId,
}

/// How an instance takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// Its application answers.
    Answers,
    /// 403 `RBAC: access denied`.
    Denied,
    /// The connection is refused: 503 to the caller.
    Refused,
}

impl Check {
    /// What is expected, as a report words it.
    pub fn promise(&self) -> String {
        words::expected(&self.expected)
    }
}

impl Expected {
    /// One outcome for every request.
    pub(super) fn always(outcome: Outcome) -> Self {
        Self {
            outcomes: vec![(outcome, 1.0)],
            ..Self::default()
        }
    }

    /// Whether chance decides.
    pub(super) fn is_chance(&self) -> bool {
        let fractional = |(_, share): &(Outcome, f64)| *share < 1.0;
        self.outcomes.iter().any(fractional)
            || self
                .delay
                .is_some_and(|(_, share)| share != Fraction::ALL && share != Fraction::NONE)
    }

    /// Whether an application may answer.
    pub(super) fn is_welcome(&self) -> bool {
        self.outcomes.iter().any(|(outcome, _)| match outcome {
            Outcome::Reaches(reaches) => reaches.any(Welcome::Answers),
            _ => false,
        })
    }

    /// Whether every request is denied where it arrives.
    pub(super) fn is_denied(&self) -> bool {
        self.outcomes.iter().all(|(outcome, _)| match outcome {
            Outcome::Reaches(reaches) => reaches
                .instances
                .values()
                .all(|instance| instance.welcome == Welcome::Denied),
            _ => false,
        })
    }
}

impl Reaches {
    fn any(&self, welcome: Welcome) -> bool {
        self.instances
            .values()
            .any(|instance| instance.welcome == welcome)
    }

    /// The workloads of its instances, each once.
    pub(super) fn workloads(&self) -> String {
        let mut names: Vec<_> = self
            .instances
            .values()
            .map(|instance| &*instance.workload)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.join(" or ")
    }
}

use std::{collections::BTreeMap, net::SocketAddr};

use mesh_core::dataplane::{NodeKind, Origin};
use serde::Serialize;

use crate::explain::{Explanation, Outcome, RouteStep, SentRequest, SentStep};

/// What becomes of a call, from the application that makes it to where it ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// The call, as it was asked.
    pub question: String,
    /// Who makes it.
    pub caller: String,
    /// Where the application connects to.
    pub resolved: Resolved,
    /// Each proxy on the way, and everything it decided.
    pub hops: Vec<Hop>,
    /// How it ends.
    pub outcome: Outcome,
    /// The HTTP status the caller gets; none where there is no HTTP, or no answer at all.
    pub status: Option<u16>,
    /// Envoy's response flags at the proxy that decided.
    pub flags: Vec<&'static str>,
    /// Why, in one sentence.
    pub reason: String,
    /// The policy that denies; none where nothing denies, or where no policy allows.
    pub denied_by: Option<Origin>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The last connection between proxies: whether both sides proved who they are.
    pub mutual_tls: bool,
    /// The request as the application that gets it sees it.
    pub delivered: Option<SentRequest>,
    /// Headers that proxies write on the answer as the caller sees it; a removed one has no value.
    pub response_headers: BTreeMap<String, Option<String>>,
}

/// Where an application connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The address and port.
    pub address: SocketAddr,
    /// What that is.
    pub what: String,
}

/// One proxy on the way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// The workload it stands beside, or that it is: `default/reviews-v1-0`.
    pub workload: String,
    /// What it does.
    pub kind: NodeKind,
    /// Everything it decided.
    pub explanation: Explanation,
}

impl Account {
    /// Where the first proxy on the way sends it, if there is one and it does: the caller's own, or
    /// the gateway's.
    pub fn sent(&self) -> Option<&SentStep> {
        self.hops.first()?.explanation.sent.as_ref()
    }

    /// The choice of a route at the first proxy on the way.
    pub fn route(&self) -> Option<&RouteStep> {
        self.hops.first()?.explanation.http.as_ref()?.route.as_ref()
    }
}

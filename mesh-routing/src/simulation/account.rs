use std::{collections::BTreeMap, net::SocketAddr};

use mesh_core::{
    dataplane::{NodeKind, Origin},
    mesh::Mesh,
};
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
    /// Where the rules that are named are written: `file:line` by resource and field.
    pub places: BTreeMap<String, String>,
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

    /// Where a rule is written, as `file:line`.
    pub fn place(&self, origin: &Origin) -> Option<&str> {
        self.places.get(&key(origin)).map(String::as_str)
    }

    /// Looks up where everything that is named is written.
    pub(super) fn locate(&mut self, mesh: &Mesh) {
        let mut places = BTreeMap::new();
        for origin in self.hops.iter().flat_map(|hop| origins(&hop.explanation)) {
            let field = origin.field.as_deref().unwrap_or_default();
            if let Some(source) = mesh.source_of(&origin.resource, field) {
                places.insert(key(origin), source.to_string());
            }
        }
        self.places = places;
    }
}

/// A resource and its field.
fn key(origin: &Origin) -> String {
    match &origin.field {
        Some(field) => format!("{origin} {field}"),
        None => origin.to_string(),
    }
}

/// Every rule that an explanation names.
fn origins(explanation: &Explanation) -> Vec<&Origin> {
    let mut all: Vec<&Origin> = Vec::new();
    let http = explanation.http.as_ref();
    let filters = http.map_or(&[][..], |http| &http.filters);
    for filter in explanation.network.iter().chain(filters) {
        all.extend(
            filter
                .policies
                .iter()
                .filter_map(|policy| policy.origin.as_ref()),
        );
    }
    if let Some(route) = http.and_then(|http| http.route.as_ref()) {
        all.extend(
            route
                .rejected
                .iter()
                .filter_map(|rule| rule.origin.as_ref()),
        );
        all.extend(route.chosen.iter().filter_map(|rule| rule.origin.as_ref()));
    }
    if let Some(sent) = &explanation.sent {
        all.extend(sent.rule.iter().chain(&sent.policy));
    }
    all.extend(&explanation.decision.denied_by);
    all
}

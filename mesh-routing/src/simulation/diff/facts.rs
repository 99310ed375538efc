//! What becomes of a request, as far as users notice: free of dice, of spelling, and of where the
//! rules are written.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::{
    dataplane::{HttpFilter, Name, Route, RouteTable, Terminal},
    mesh::Question,
};
use serde_json::Value;

use super::{Change, callers::owner, places::rules};
use crate::{
    explain::{Explanation, SentStep, Share},
    simulation::{Account, Simulation},
};

/// How often the dice are thrown where something depends on them.
const THROWS: u64 = 8;
/// Facts that hold once the dice chose, and that may not have been seen on either side.
const AT: &str = "at ";

/// Facts by name, and the rules that they come from.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Facts {
    facts: BTreeMap<String, String>,
    /// Where requests may be sent: what the facts of a cluster begin with.
    clusters: BTreeSet<String>,
    pub(super) rules: Vec<String>,
}

/// What is not the same in both. Of a cluster that only one of them leads to, the weights tell
/// enough.
pub(super) fn differences(old: &Facts, new: &Facts) -> Vec<Change> {
    let names: BTreeSet<_> = old.facts.keys().chain(new.facts.keys()).collect();
    let elsewhere: Vec<_> = old.clusters.symmetric_difference(&new.clusters).collect();
    let differ = names.into_iter().filter_map(|name| {
        let (was, is) = (old.facts.get(name), new.facts.get(name));
        let of_one = name.starts_with(AT) || elsewhere.iter().any(|one| name.starts_with(*one));
        let is_compared = was.is_some() && is.is_some() || !of_one;
        (was != is && is_compared).then(|| Change {
            aspect: name.clone(),
            old: was.cloned(),
            new: is.cloned(),
        })
    });
    differ.collect()
}

impl Facts {
    /// Asks a simulation.
    pub(super) fn of(simulation: &Simulation, question: &Question) -> Self {
        let mut found = Self::default();
        let first = match simulation.ask(question) {
            Ok(account) => account,
            Err(error) => {
                found.put("cannot be asked", error.to_string());
                return found;
            }
        };
        found.rules = rules(simulation.mesh(), &first);
        found.plan(simulation, question, &first);
        let mut ends = BTreeSet::new();
        let mut branches = BTreeSet::new();
        found.branch(simulation, &first, &mut ends, &mut branches);
        if depends_on_dice(&first) {
            for seed in 1..THROWS {
                let question = Question {
                    seed,
                    ..question.clone()
                };
                if let Ok(account) = simulation.ask(&question) {
                    found.branch(simulation, &account, &mut ends, &mut branches);
                }
            }
        }
        // Where several branches are, each is compared by itself: dice may have missed one.
        if ends.len() == 1 && branches.len() <= 1 {
            found
                .facts
                .extend(ends.first().map(|end| ("ends".to_owned(), end.clone())));
        }
        found
    }

    fn put(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.facts.insert(name.into(), value.into());
    }

    /// What is planned, whatever the dice say: the rule, the shares, the clusters.
    fn plan(&mut self, simulation: &Simulation, question: &Question, account: &Account) {
        let Some(hop) = account.hops.first() else {
            return;
        };
        let mesh = simulation.mesh();
        let workload = super::super::party::workload_of(mesh, &question.caller);
        let Some(workload) = workload.ok().flatten() else {
            return;
        };
        let planned = simulation.proxy(&workload);
        let snapshot = planned.proxy.snapshot();
        let told = &hop.explanation;
        if let Some(route) = route_of(told, &snapshot.routes) {
            let mut value = serde_json::to_value(route).unwrap_or_default();
            for spelt in ["name", "matches", "operation"] {
                remove(&mut value, spelt);
            }
            if let Some(forward) = value.pointer_mut("/action/forward") {
                remove(forward, "cluster");
            }
            self.flatten("rule", &value);
        }
        let Some(sent) = &told.sent else {
            return;
        };
        self.put("weights", weights(&sent.shares));
        for share in &sent.shares {
            if let Some(cluster) = snapshot.clusters.get(&share.cluster) {
                let mut value = serde_json::to_value(&**cluster).unwrap_or_default();
                for spelt in ["name", "metadata"] {
                    remove(&mut value, spelt);
                }
                if value.pointer("/discovery/told").is_some() {
                    remove(&mut value, "discovery");
                }
                let aspect = format!("cluster {}", name_of(share));
                self.flatten(&aspect, &value);
                self.clusters.insert(format!("{aspect}."));
            }
        }
    }

    /// What becomes of it once the dice chose.
    fn branch(
        &mut self,
        simulation: &Simulation,
        account: &Account,
        ends: &mut BTreeSet<String>,
        branches: &mut BTreeSet<String>,
    ) {
        let at = match account.sent() {
            None => "here".to_owned(),
            Some(sent) => {
                let to = sent.endpoint.as_ref().and_then(|to| to.workload.as_deref());
                let to = to
                    .map(|name| owner_of(simulation, name))
                    .unwrap_or_default();
                format!("{} {to}", chosen(sent)).trim_end().to_owned()
            }
        };
        let end = end(account);
        self.put(format!("{AT}{at}: ends"), end.clone());
        let mtls = if account.mutual_tls { "yes" } else { "no" };
        self.put(format!("{AT}{at}: mutual TLS"), mtls);
        if let Some(sent) = account.sent() {
            let tls = sent.endpoint.as_ref().and_then(|to| to.tls.as_ref());
            let mut names = tls
                .map(|tls| tls.expected_names.clone())
                .unwrap_or_default();
            names.sort();
            self.put(format!("{AT}{at}: expects"), names.join(", "));
            let in_use = sent.candidates.iter().filter(|candidate| candidate.in_use);
            let in_use: BTreeSet<_> = in_use
                .map(|candidate| match &candidate.workload {
                    Some(name) => owner_of(simulation, name),
                    None => candidate.address.clone(),
                })
                .collect();
            let in_use: Vec<_> = in_use.into_iter().collect();
            self.put(format!("{AT}{at}: instances"), in_use.join(", "));
        }
        if let Some(delivered) = &account.delivered {
            let line = format!("{} {}", delivered.method, delivered.path);
            self.put(format!("{AT}{at}: delivered"), line);
            self.put(format!("{AT}{at}: authority"), delivered.authority.clone());
            for (name, value) in &delivered.edits {
                let value = value.clone().unwrap_or_else(|| "(removed)".to_owned());
                self.put(format!("{AT}{at}: header {name}"), value);
            }
        }
        for (name, value) in &account.response_headers {
            let value = value.clone().unwrap_or_else(|| "(removed)".to_owned());
            self.put(format!("{AT}{at}: answer's {name}"), value);
        }
        for hop in &account.hops {
            self.filters(simulation, &hop.workload, &hop.explanation);
        }
        ends.insert(end);
        branches.insert(at);
    }

    /// What else stands in the way of a request at a proxy, as it is planned: tokens, limits.
    fn filters(&mut self, simulation: &Simulation, workload: &str, told: &Explanation) {
        let found = workload.split_once('/').and_then(|(namespace, name)| {
            let mesh = simulation.mesh();
            mesh.endpoints().workload(namespace, name)
        });
        let (Some(workload), Some(listener), Some(chain)) = (found, &told.listener, &told.chain)
        else {
            return;
        };
        let planned = simulation.proxy(workload);
        let listeners = &planned.proxy.snapshot().listeners;
        let Some(listener) = listeners.iter().find(|known| known.name == listener.name) else {
            return;
        };
        let mut chains = listener.chains();
        let chain = chains.find(|known| Some(&known.name) == chain.chosen.as_ref());
        let Some(Terminal::Http(http)) = chain.map(|chain| &chain.terminal) else {
            return;
        };
        // Who may call is asked, not compared; filters without settings are everywhere.
        let others = http.filters.iter();
        for filter in others.filter(|filter| !matches!(filter, HttpFilter::Rbac(_))) {
            let value = serde_json::to_value(filter).unwrap_or_default();
            if value.is_object() {
                let side = format!("{AT}{} {:?}", owner(workload), listener.direction);
                self.flatten(&format!("{side}: filter"), &value);
            }
        }
    }

    /// Each value under its path, without where it was written.
    fn flatten(&mut self, path: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (key, value) in fields.iter().filter(|(key, _)| *key != "origin") {
                    self.flatten(&format!("{path}.{key}"), value);
                }
            }
            Value::Array(items) => {
                for (i, value) in items.iter().enumerate() {
                    self.flatten(&format!("{path}[{i}]"), value);
                }
            }
            Value::String(text) => self.put(path, text.clone()),
            other => self.put(path, other.to_string()),
        }
    }
}

fn remove(value: &mut Value, key: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(key);
    }
}

/// How a call ends, for the caller.
fn end(account: &Account) -> String {
    let mut end = account.outcome.to_string();
    if let Some(status) = account.status {
        end += &format!(" {status}");
    }
    if !account.flags.is_empty() {
        end += &format!(" {}", account.flags.join(","));
    }
    if let Some(location) = &account.location {
        end += &format!(" {location}");
    }
    end
}

fn depends_on_dice(account: &Account) -> bool {
    let several = |sent: &SentStep| sent.shares.len() > 1 || sent.candidates.len() > 1;
    let sent = account
        .hops
        .iter()
        .filter_map(|hop| hop.explanation.sent.as_ref());
    let faults = account
        .hops
        .iter()
        .filter_map(|hop| hop.explanation.http.as_ref());
    sent.into_iter().any(several) || faults.into_iter().any(|http| http.fault.is_some())
}

/// The planned rule that decided.
fn route_of<'a>(
    told: &Explanation,
    tables: &'a BTreeMap<Name, std::sync::Arc<RouteTable>>,
) -> Option<&'a Route> {
    let step = told.http.as_ref()?.route.as_ref()?;
    step.chosen.as_ref()?;
    let hosts = &tables.get(&step.table)?.virtual_hosts;
    let host = hosts
        .iter()
        .find(|host| Some(&host.name) == step.virtual_host.as_ref())?;
    host.routes.get(step.rejected.len())
}

/// A share by what is meant, not by how the plan calls it.
fn name_of(share: &Share) -> String {
    match (&share.destination, &*share.subset) {
        (Some(destination), "") => destination.clone(),
        (Some(destination), subset) => format!("{destination}/{subset}"),
        (None, _) => share.cluster.to_string(),
    }
}

fn chosen(sent: &SentStep) -> String {
    let share = sent
        .shares
        .iter()
        .find(|share| share.cluster == sent.cluster);
    share.map_or_else(|| sent.cluster.to_string(), name_of)
}

/// Weights in their smallest numbers: 50 to 50 is 1 to 1.
fn weights(shares: &[Share]) -> String {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for share in shares {
        *sums.entry(name_of(share)).or_default() += u64::from(share.weight);
    }
    let divisor = sums
        .values()
        .copied()
        .fold(0, greatest_common_divisor)
        .max(1);
    let each = sums.iter().map(|(name, weight)| match sums.len() {
        1 => name.clone(),
        _ => format!("{name} {}", weight / divisor),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        b => greatest_common_divisor(b, a % b),
    }
}

/// All replicas of a workload are one.
fn owner_of(simulation: &Simulation, name: &str) -> String {
    let found = name.split_once('/').and_then(|(namespace, name)| {
        let endpoints = simulation.mesh().endpoints();
        endpoints.workload(namespace, name)
    });
    found.map_or_else(|| name.to_owned(), |workload| owner(workload))
}

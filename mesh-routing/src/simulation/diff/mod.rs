//! What a change of configuration changes: for whom, for which calls.
//!
//! Requests are told apart by the conditions that either side asks for: each exact path, prefix and
//! expression gives samples that meet it and samples that do not, and so do methods, headers, query
//! parameters and claims. Every combination is asked of both sides, by every workload, by every
//! gateway and by somebody outside; what becomes of it is compared as [`facts`] that do not depend
//! on dice, on the order of what is equal, or on how something is written.
//!
//! What that does not see: two expressions that only meet in texts no sample has, and combinations
//! beyond the [`DiffLimits`], which say so.

mod callers;
mod facts;
mod places;
mod predicates;
mod print;
mod samples;
mod targets;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::mesh::Question;
use serde::Serialize;

use self::{
    callers::{Source, sources},
    facts::{Facts, differences},
    predicates::Predicates,
    samples::{Sample, samples},
    targets::{Target, targets},
};
use super::Simulation;

/// The most that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffLimits {
    /// Requests of one caller to one host and port.
    pub requests_of_target: usize,
    /// Requests altogether.
    pub requests: usize,
}

/// What becomes different from one configuration to another.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Calls that become something else, those that change alike together.
    pub classes: Vec<Class>,
    /// Workloads that are only in the old one.
    pub gone: Vec<String>,
    /// Workloads that are only in the new one.
    pub added: Vec<String>,
    /// How many requests were asked of both.
    pub asked: usize,
    /// What was not looked at, as a limit was reached.
    pub left_out: Vec<String>,
}

/// Calls that change alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Class {
    /// What is called, as in `http://reviews.default.svc.cluster.local:9080`.
    pub target: String,
    /// Who calls.
    pub sources: Vec<String>,
    /// The requests, as in `GET /reviews* end-user: jason`; empty where bytes are sent.
    pub requests: Vec<String>,
    /// What changes.
    pub changes: Vec<Change>,
    /// The rules that decide in the old configuration, with file and line.
    pub old_rules: Vec<String>,
    /// The rules that decide in the new one.
    pub new_rules: Vec<String>,
}

/// One thing that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Change {
    /// What: `weights`, `rule.timeout`, `ends`.
    pub aspect: String,
    /// What it was; none for nothing.
    pub old: Option<String>,
    /// What it becomes; none for nothing.
    pub new: Option<String>,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self {
            requests_of_target: 2_000,
            requests: 200_000,
        }
    }
}

impl Diff {
    /// Whether every call becomes what it became.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.gone.is_empty() && self.added.is_empty()
    }
}

/// Compares two configurations, given as simulations.
pub fn diff(old: &Simulation, new: &Simulation, limits: DiffLimits) -> Diff {
    let (was, is) = (sources(old), sources(new));
    let name = |source: &&Source| source.name.clone();
    let mut diff = Diff {
        gone: was
            .iter()
            .filter(|one| !is.contains(one))
            .map(|one| name(&one))
            .collect(),
        added: is
            .iter()
            .filter(|one| !was.contains(one))
            .map(|one| name(&one))
            .collect(),
        ..Diff::default()
    };
    let mut classes = Classes::default();
    for source in was.intersection(&is) {
        let mut all: BTreeSet<Target> = targets(old, source);
        all.extend(targets(new, source));
        for target in &all {
            let mut predicates = Predicates::default();
            for side in [old, new] {
                predicates.gather(side, source, target);
            }
            let (asked, is_cut) = samples(&predicates, target, limits.requests_of_target);
            if is_cut {
                let more = format!("more requests of {} to {target}", source.name);
                diff.left_out.push(more);
            }
            for sample in &asked {
                if diff.asked >= limits.requests {
                    let limit = limits.requests;
                    diff.left_out
                        .push(format!("everything after {limit} requests"));
                    diff.classes = classes.into_list();
                    return diff;
                }
                diff.asked += 1;
                classes.compare(old, new, (source, target, sample));
            }
        }
    }
    diff.classes = classes.into_list();
    diff
}

/// Classes under construction: what changes, with who and what it changes for.
#[derive(Default)]
struct Classes(BTreeMap<Alike, (BTreeSet<String>, BTreeSet<String>)>);

/// What calls of one class have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    target: String,
    changes: Vec<Change>,
    old_rules: Vec<String>,
    new_rules: Vec<String>,
}

impl Classes {
    fn compare(
        &mut self,
        old: &Simulation,
        new: &Simulation,
        (source, target, sample): (&Source, &Target, &Sample),
    ) {
        let question = question(source, target, sample);
        let (was, is) = (Facts::of(old, &question), Facts::of(new, &question));
        let changes = differences(&was, &is);
        if changes.is_empty() {
            return;
        }
        let alike = Alike {
            target: target.to_string(),
            changes,
            old_rules: was.rules,
            new_rules: is.rules,
        };
        let (sources, requests) = self.0.entry(alike).or_default();
        sources.insert(source.name.clone());
        requests.insert(sample.label.clone());
    }

    /// Classes that differ in nothing but who calls are one.
    fn into_list(self) -> Vec<Class> {
        let classes = self.0.into_iter();
        let classes = classes.map(|(alike, (sources, requests))| Class {
            target: alike.target,
            sources: sources.into_iter().collect(),
            requests: requests
                .into_iter()
                .filter(|label| !label.is_empty())
                .collect(),
            changes: alike.changes,
            old_rules: alike.old_rules,
            new_rules: alike.new_rules,
        });
        classes.collect()
    }
}

fn question(source: &Source, target: &Target, sample: &Sample) -> Question {
    let mut question = Question::new(source.caller.clone(), target.call(sample));
    question.headers.clone_from(&sample.headers);
    question.claims.clone_from(&sample.claims);
    question
}

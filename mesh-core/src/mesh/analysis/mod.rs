//! What looks wrong although it can be meant: findings that need the whole mesh. Nothing here
//! changes what is in effect.
//!
//! [`check`] looks where every change is looked at, and is quick. [`analyze`] looks at everything,
//! for who asks before a change goes anywhere.

mod access;
mod destinations;
mod entries;
mod gateways;
mod instances;
mod policies;
mod references;
mod rivals;
mod services;
mod tokens;
mod unreachable;
mod workloads;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Mesh, MeshDefaults, Rules, meaning::read};
use crate::{
    config::{Code, ConfigSet, Problem, Resource, Severity},
    name::ResourceRef,
};
use instances::Instance;

/// Looks at files as one mesh: everything that is wrong with them, by file and line.
///
/// Each file is its name and its text. What has no kind of its own and keeps something from taking
/// effect bears [`Code::SchemaValidationError`].
pub fn analyze_files<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    defaults: &MeshDefaults,
) -> Vec<Problem> {
    let (mut set, mut problems) = (ConfigSet::default(), Vec::new());
    for (file, text) in files {
        let parsed = read(file, text, defaults);
        // No earlier version can have stayed in force: every file is seen once.
        set = set.replace_file(file, &parsed).0;
        problems.extend(parsed.problems);
    }
    problems.extend(analyze(&set, defaults).1);
    for problem in &mut problems {
        if problem.is_error() && problem.code.is_none() {
            problem.code = Some(Code::SchemaValidationError);
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

/// Resolves everything written and looks at it from all sides. What [`Mesh::resolve`] finds is
/// among the problems, which come by file and line.
pub fn analyze(set: &ConfigSet, defaults: &MeshDefaults) -> (Arc<Mesh>, Vec<Problem>) {
    let (mesh, mut problems) = Mesh::resolve(set, defaults);
    problems.extend(set.shadowed());
    let mut analysis = Analysis::new(&mesh.rules, set);
    analysis.instances = instances::all(set);
    analysis.gateway_servers();
    analysis.services();
    analysis.workloads();
    analysis.policies();
    analysis.destinations();
    analysis.entries();
    analysis.access(&mesh);
    analysis.tokens();
    analysis.routes_by_claims(&mesh);
    problems.extend(analysis.problems);
    problems.sort();
    (mesh, problems)
}

/// References that lead nowhere, resources that claim the same thing, rules that nothing reaches.
pub(super) fn check(rules: &Rules, set: &ConfigSet) -> Vec<Problem> {
    let mut analysis = Analysis::new(rules, set);
    analysis.references();
    analysis.rivals();
    analysis.unreachable();
    analysis.problems
}

struct Analysis<'a> {
    rules: &'a Rules,
    set: &'a ConfigSet,
    instances: Vec<Instance<'a>>,
    problems: Vec<Problem>,
}

impl<'a> Analysis<'a> {
    fn new(rules: &'a Rules, set: &'a ConfigSet) -> Self {
        Self {
            rules,
            set,
            instances: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn warn(&mut self, code: Code, of: &ResourceRef, field: &str, reason: impl Into<String>) {
        self.report(Severity::Warning, code, of, field, reason.into());
    }

    fn inform(&mut self, code: Code, of: &ResourceRef, field: &str, reason: impl Into<String>) {
        self.report(Severity::Info, code, of, field, reason.into());
    }

    fn report(
        &mut self,
        severity: Severity,
        code: Code,
        of: &ResourceRef,
        field: &str,
        reason: String,
    ) {
        if let Some(resource) = self.set.resource(of) {
            let problem = Resource::problem(resource, severity, field, reason);
            self.problems.push(problem.coded(code));
        }
    }

    /// Adds advice to what was reported last.
    fn advise(&mut self, advice: impl Into<Option<String>>) {
        if let Some(last) = self.problems.last_mut() {
            last.advice = advice.into();
        }
    }

    /// `kind namespace/name (file:line)`, for a problem of another resource.
    fn place(&self, of: &ResourceRef) -> String {
        match self.set.resource(of) {
            Some(resource) => format!("{of} ({})", resource.source),
            None => of.to_string(),
        }
    }
}

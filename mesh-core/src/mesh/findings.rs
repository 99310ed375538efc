use crate::{
    config::{Problem, Resource, Severity},
    name::{Host, IpNetwork, Pattern, ResourceRef},
};

use super::PerMillion;

/// What was found wrong with one resource while its meaning was worked out.
pub(super) struct Findings<'a> {
    resource: &'a Resource,
    problems: Vec<Problem>,
}

impl<'a> Findings<'a> {
    pub(super) fn new(resource: &'a Resource) -> Self {
        Self {
            resource,
            problems: Vec::new(),
        }
    }

    pub(super) fn reference(&self) -> &'a ResourceRef {
        &self.resource.reference
    }

    pub(super) fn error(&mut self, field: &str, reason: impl Into<String>) {
        self.push(Severity::Error, field, reason);
    }

    pub(super) fn warn(&mut self, field: &str, reason: impl Into<String>) {
        self.push(Severity::Warning, field, reason);
    }

    fn push(&mut self, severity: Severity, field: &str, reason: impl Into<String>) {
        let problem = self.resource.problem(severity, field, reason);
        self.problems.push(problem);
    }

    /// Adds advice to what was found last.
    pub(super) fn advise(&mut self, advice: impl Into<String>) {
        if let Some(last) = self.problems.last_mut() {
            last.advice = Some(advice.into());
        }
    }

    /// The value, unless something is wrong with the resource, and what was found.
    pub(super) fn conclude<T>(self, value: T) -> (Option<T>, Vec<Problem>) {
        let broken = self.problems.iter().any(Problem::is_error);
        ((!broken).then_some(value), self.problems)
    }

    /// Whether something is wrong with a policy that is kept all the same, and what was found.
    /// `effect` is what becomes of it until it is mended.
    pub(super) fn fail_closed(self, effect: &str) -> (bool, Vec<Problem>) {
        let Self {
            resource,
            mut problems,
        } = self;
        let is_broken = resource.is_broken || problems.iter().any(Problem::is_error);
        if is_broken {
            let reason = format!("is broken: {effect}");
            problems.push(resource.problem(Severity::Error, "", reason));
        }
        (is_broken, problems)
    }

    pub(super) fn host(&mut self, field: &str, text: &str) -> Option<Host> {
        let host = text.parse::<Host>();
        host.map_err(|error| self.error(field, error.to_string()))
            .ok()
    }

    pub(super) fn network(&mut self, field: &str, text: &str) -> Option<IpNetwork> {
        let network = IpNetwork::parse(text);
        if network.is_none() {
            self.error(
                field,
                format!("{text:?} is no address or range of addresses"),
            );
            self.advise("write it as in 10.0.0.0/8");
        }
        network
    }

    pub(super) fn networks(&mut self, field: &str, texts: &[String]) -> Vec<IpNetwork> {
        let each = texts.iter().enumerate();
        each.filter_map(|(i, text)| self.network(&format!("{field}[{i}]"), text))
            .collect()
    }

    /// The pattern, if it can be compiled.
    pub(super) fn pattern(&mut self, field: &str, pattern: Pattern) -> Option<Pattern> {
        match pattern.check() {
            Ok(()) => Some(pattern),
            Err(error) => {
                self.error(field, error.to_string());
                None
            }
        }
    }

    /// A percentage as millionths.
    pub(super) fn percent(&mut self, field: &str, value: f64) -> PerMillion {
        PerMillion::percent(value).unwrap_or_else(|| {
            self.error(
                field,
                format!("{value} is no percentage: expected 0 to 100"),
            );
            PerMillion::default()
        })
    }
}

use std::collections::BTreeMap;

use super::{Problem, Severity, Source, Spec, tree::FieldLines};
use crate::name::{Labels, ResourceRef};

/// One thing a user wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// What it is called.
    pub reference: ResourceRef,
    /// What else its head says.
    pub metadata: Metadata,
    /// Where it was written.
    pub source: Source,
    /// What it says.
    pub spec: Spec,
    /// Its text is broken, and this is only what could be read of it: enough for it to fail closed.
    pub is_broken: bool,
    pub(super) lines: FieldLines,
}

/// The head of a resource, beside its name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `creationTimestamp`, which files rarely have. RFC 3339 in UTC, so that it sorts as text.
    pub created: Option<String>,
}

impl Resource {
    /// A resource that was never in a file: what runs, for instance.
    pub fn in_memory(namespace: &str, name: &str, labels: Labels, spec: Spec) -> Self {
        Self {
            reference: ResourceRef::new(spec.group(), spec.kind(), namespace, name),
            metadata: Metadata {
                labels,
                ..Metadata::default()
            },
            source: Source::new("", 0),
            spec,
            is_broken: false,
            lines: FieldLines::default(),
        }
    }

    /// The line of a field written as in `spec.http[0].match`, or of the nearest one above it.
    pub fn line_of(&self, field: &str) -> u32 {
        match self.lines.find(field) {
            0 => self.source.line,
            line => line,
        }
    }

    /// A problem of this resource at one of its fields.
    pub fn problem(&self, severity: Severity, field: &str, reason: impl Into<String>) -> Problem {
        let source = Source {
            file: self.source.file.clone(),
            line: self.line_of(field),
        };
        Problem::new(severity, source, reason)
            .of(self.reference.clone())
            .at(field)
    }

    /// Oldest first, then by name, as Istio decides between resources that claim the same thing.
    /// Those without a creation time count as young.
    pub fn age(&self) -> impl Ord + '_ {
        let created = self.metadata.created.as_deref();
        let name = (&self.reference.name, &self.reference.namespace);
        (created.is_none(), created, name)
    }
}

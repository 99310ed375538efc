//! From a tree to a kind's type, with a word on every field the type does not have.

use serde::de::DeserializeOwned;

use super::Reader;
use crate::{
    config::{
        Problem, Severity,
        decode::{DecodeError, Unread, camel_case, decode},
        near::{distance, nearest},
        tree::Node,
    },
    name::ResourceRef,
};

/// What is known about the fields of a kind that its type does not have.
pub(super) struct Fields {
    /// Honoured by Istio, not yet by us.
    pub(super) not_yet: &'static [&'static str],
    /// The same, but without them the resource would mean something dangerous.
    pub(super) refused: &'static [&'static str],
    /// Many fields are none of our business: only a likely slip of the fingers is reported.
    pub(super) others_allowed: bool,
}

pub(super) const ISTIO: Fields = Fields {
    not_yet: &[],
    refused: &[],
    others_allowed: false,
};
pub(super) const KUBERNETES: Fields = Fields {
    not_yet: &[],
    refused: &[],
    others_allowed: true,
};

impl Reader {
    /// Istio's resources: everything is under `spec`, and every field counts.
    pub(super) fn istio<T: DeserializeOwned + Default>(
        &mut self,
        node: &Node,
        reference: &ResourceRef,
        fields: &Fields,
    ) -> Option<T> {
        const TOP: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        for (key, _) in node.entries() {
            let name = key.text().unwrap_or_default();
            if !TOP.contains(&name) {
                let unread = Unread {
                    field: name.into(),
                    line: key.line,
                    similar: nearest(name, TOP),
                };
                self.unread(unread, reference, fields);
            }
        }
        match node.child("spec") {
            Some(spec) => self.typed(spec, "spec", reference, fields),
            None => Some(T::default()),
        }
    }

    /// Kubernetes' resources: read as a whole, the head apart.
    pub(super) fn kubernetes<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        reference: &ResourceRef,
    ) -> Option<T> {
        self.typed(node, "", reference, &KUBERNETES)
    }

    pub(super) fn typed<T: DeserializeOwned>(
        &mut self,
        node: &Node,
        prefix: &str,
        reference: &ResourceRef,
        fields: &Fields,
    ) -> Option<T> {
        let (value, unread) = decode(node, prefix);
        for unread in unread {
            self.unread(unread, reference, fields);
        }
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken(error, reference);
                None
            }
        }
    }

    fn broken(&mut self, error: DecodeError, reference: &ResourceRef) {
        let source = self.source(error.line);
        let mut problem = Problem::new(Severity::Error, source, error.reason)
            .of(reference.clone())
            .at(error.field.unwrap_or_default());
        problem.advice = error.advice;
        self.push(problem);
    }

    fn unread(&mut self, unread: Unread, reference: &ResourceRef, fields: &Fields) {
        let general = without_indexes(&unread.field);
        let is = |field: &str| {
            let above = general.strip_suffix(field);
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        };
        let listed = |list: &[&str]| list.iter().any(|field| is(field));
        let (severity, reason) = if listed(fields.refused) {
            (
                Severity::Error,
                "not supported yet, and dangerous to leave out",
            )
        } else if listed(fields.not_yet) {
            (Severity::Warning, "not supported yet")
        } else if !fields.others_allowed {
            (Severity::Error, "unknown field")
        } else if is_slip(&unread) {
            (Severity::Warning, "unknown field")
        } else {
            return;
        };
        let mut problem = Problem::new(severity, self.source(unread.line), reason)
            .of(reference.clone())
            .at(unread.field);
        if let (Some(similar), "unknown field") = (unread.similar, reason) {
            problem = problem.advise(format!("did you mean {similar}?"));
        }
        self.push(problem);
    }
}

/// `spec.http[3].match[0]` to `spec.http[].match[]`.
fn without_indexes(field: &str) -> String {
    let mut general = String::with_capacity(field.len());
    let mut index = false;
    for c in field.chars() {
        index = (index && c != ']') || c == '[';
        if !index || c == '[' {
            general.push(c);
        }
    }
    general
}

/// Whether the field is one letter away from one that is read.
fn is_slip(unread: &Unread) -> bool {
    let name = unread.field.rsplit('.').next().unwrap_or_default();
    let near = |similar| distance(&camel_case(name), similar) == Some(1);
    name.len() >= 4 && unread.similar.is_some_and(near)
}

use std::{collections::BTreeSet, sync::Arc};

/// Which namespaces see a resource (`exportTo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exports {
    /// All of them.
    Everywhere,
    /// These.
    To(BTreeSet<Arc<str>>),
}

impl Exports {
    /// Reads `exportTo`: `*` is everywhere, `.` the resource's own namespace, `~` nowhere; nothing
    /// at all is everywhere.
    pub fn of(written: &[String], own: &Arc<str>) -> Self {
        if written.is_empty() || written.iter().any(|to| to == "*") {
            return Self::Everywhere;
        }
        let namespaces = written
            .iter()
            .filter(|to| *to != "~")
            .map(|to| match &**to {
                "." => own.clone(),
                namespace => namespace.into(),
            });
        Self::To(namespaces.collect())
    }

    /// Whether this namespace sees it, and no other.
    pub(super) fn is_only(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => false,
            Self::To(namespaces) => namespaces.len() == 1 && namespaces.contains(namespace),
        }
    }

    /// Whether this namespace sees it.
    pub fn reach(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::To(namespaces) => namespaces.contains(namespace),
        }
    }
}

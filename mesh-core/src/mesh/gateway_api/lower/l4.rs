//! Rules for connections.

use super::{Lower, blank, each};
use crate::{
    config::gateway_api::{BackendObjectRef, BackendRef},
    mesh::{HeaderEdits, gateway_api::route::Rule},
};

impl Lower<'_> {
    pub(super) fn l4_rules<'a>(
        &mut self,
        written: impl Iterator<Item = &'a Vec<BackendRef>>,
    ) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (i, backends) in written.enumerate() {
            let field = format!("spec.rules[{i}]");
            if backends.is_empty() {
                let at = format!("{field}.backendRefs");
                self.findings.error(&at, "at least one is needed");
            }
            let mut rule = blank("", &field);
            for (field, backend) in each(backends, &format!("{field}.backendRefs")) {
                let to = object(backend);
                let weight = backend.weight;
                rule.backends
                    .push(self.backend(field, to, weight, HeaderEdits::default()));
            }
            rules.push(rule);
        }
        if rules.is_empty() {
            self.findings.error("spec.rules", "a rule is needed");
        }
        if let Some(more) = rules.get(1) {
            let field = more.field.clone();
            self.findings.warn(
                &field,
                "is never reached: the first rule takes every connection",
            );
        }
        rules
    }
}

fn object(written: &BackendRef) -> BackendObjectRef {
    BackendObjectRef {
        group: written.group.clone(),
        kind: written.kind.clone(),
        namespace: written.namespace.clone(),
        name: written.name.clone(),
        port: written.port,
    }
}

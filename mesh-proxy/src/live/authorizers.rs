//! Rules on who may call, compiled once for all chains of a listener that have the same.

use std::{cell::RefCell, sync::Arc};

use mesh_core::dataplane::{AuthzGate, HttpFilter, NetworkFilter, RbacFilter};
use mesh_routing::Authorizer;

/// The rules of one listener.
#[derive(Debug, Default)]
pub(crate) struct Authorizers {
    known: RefCell<Vec<(RbacFilter, Arc<Authorizer>)>>,
}

impl Authorizers {
    /// The rules of a filter, ready to ask.
    pub(super) fn compile(&self, planned: &RbacFilter) -> Result<Arc<Authorizer>, String> {
        let mut known = self.known.borrow_mut();
        if let Some((_, same)) = known.iter().find(|(filter, _)| filter == planned) {
            return Ok(Arc::clone(same));
        }
        let compiled = Authorizer::compile(planned).map_err(|error| error.to_string())?;
        let compiled = Arc::new(compiled);
        known.push((planned.clone(), Arc::clone(&compiled)));
        Ok(compiled)
    }

    /// What is denied instead of asking somebody outside, which this proxy cannot: everything they
    /// would be asked about, even where it should pass when they do not answer. The policy that
    /// denies names them. `before` are the filters before.
    pub(super) fn instead_of_asking(
        &self,
        gate: Option<&AuthzGate>,
        before: &[HttpFilter],
    ) -> Result<Arc<Authorizer>, String> {
        let before = before.iter().filter_map(|filter| match filter {
            HttpFilter::Rbac(rbac) => Some(rbac),
            _ => None,
        });
        self.compile(&AuthzGate::without_answer(gate, before))
    }

    /// The same for connections.
    pub(super) fn instead_of_asking_about_connections(
        &self,
        gate: Option<&AuthzGate>,
        before: &[NetworkFilter],
    ) -> Result<Arc<Authorizer>, String> {
        let before = before.iter().filter_map(|filter| match filter {
            NetworkFilter::Rbac(rbac) => Some(rbac),
            _ => None,
        });
        self.compile(&AuthzGate::without_answer(gate, before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::dataplane::{AccessAction, AccessPolicy, AccessRules};

    fn denies(id: &str) -> RbacFilter {
        RbacFilter {
            rules: Some(AccessRules {
                action: AccessAction::Deny,
                policies: [(id.into(), AccessPolicy::of_everything())].into(),
            }),
            ..RbacFilter::default()
        }
    }

    #[test]
    fn equal_rules_are_compiled_once() {
        let known = Authorizers::default();
        let first = known.compile(&denies("a")).unwrap();
        assert!(Arc::ptr_eq(&first, &known.compile(&denies("a")).unwrap()));
        assert!(!Arc::ptr_eq(&first, &known.compile(&denies("b")).unwrap()));
    }
}

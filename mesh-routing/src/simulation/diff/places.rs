//! The rules that decided, where users wrote them.

use mesh_core::{dataplane::Origin, mesh::Mesh};

use crate::simulation::Account;

/// The rule that sent a request on or answered it, and the policy that denies it.
pub(super) fn rules(mesh: &Mesh, account: &Account) -> Vec<String> {
    let chosen = account.route().and_then(|route| route.chosen.as_ref());
    let rule = chosen.and_then(|chosen| chosen.origin.as_ref());
    let rule = rule.or_else(|| account.sent()?.rule.as_ref());
    let policy = account.sent().and_then(|sent| sent.policy.as_ref());
    let all = [rule, policy, account.denied_by.as_ref()];
    all.into_iter()
        .flatten()
        .map(|origin| place(mesh, origin))
        .collect()
}

fn place(mesh: &Mesh, origin: &Origin) -> String {
    let field = origin.field.as_deref().unwrap_or_default();
    match mesh.source_of(&origin.resource, field) {
        Some(source) => format!("{source}: {origin:?}"),
        None => format!("{origin:?}"),
    }
}

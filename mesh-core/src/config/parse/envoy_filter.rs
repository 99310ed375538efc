//! EnvoyFilters: not honoured, as what they patch is not here. What can be told without Envoy is:
//! patches that Istio would apply by chance, or not at all.

use super::Reader;
use crate::{
    config::{
        Code, Problem, Severity,
        tree::{Node, Value},
    },
    name::ResourceRef,
};

impl Reader {
    pub(super) fn envoy_filter(&mut self, node: &Node, reference: &ResourceRef) {
        let Some(spec) = node.child("spec") else {
            return;
        };
        let priority = spec.child("priority").and_then(Node::text);
        let has_priority = priority.is_some_and(|priority| priority != "0");
        let patches = spec.child("configPatches").map(|patches| &patches.value);
        let Some(Value::Sequence(patches)) = patches else {
            return;
        };
        for (i, patch) in patches.iter().enumerate() {
            let operation = path(patch, &["patch", "operation"]);
            let Some((operation, line)) = operation.and_then(|op| Some((op.text()?, op.line)))
            else {
                continue;
            };
            let target = patch.child("applyTo").and_then(Node::text);
            let version = path(patch, &["match", "proxy", "proxyVersion"]);
            let wrong = wrong_with(operation, target.unwrap_or_default());
            let relative = || {
                (!has_priority && is_relative(operation)).then(|| {
                    let code = match version.is_some() {
                        true => Code::EnvoyFilterUsesRelativeOperationWithProxyVersion,
                        false => Code::EnvoyFilterUsesRelativeOperation,
                    };
                    (
                        code,
                        format!("{operation} depends on which filter is applied first"),
                    )
                })
            };
            let Some((code, reason)) = wrong.or_else(relative) else {
                continue;
            };
            let field = format!("spec.configPatches[{i}].patch.operation");
            let mut problem = Problem::new(Severity::Warning, self.source(line), reason)
                .of(reference.clone())
                .at(field)
                .coded(code);
            if is_relative(operation) && code != Code::EnvoyFilterUsesRemoveOperationIncorrectly {
                problem = problem.advise("set spec.priority, or use INSERT_FIRST or ADD");
            }
            self.push(problem);
        }
    }
}

fn path<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a Node> {
    keys.iter().try_fold(node, |node, key| node.child(key))
}

fn is_relative(operation: &str) -> bool {
    matches!(
        operation,
        "INSERT_BEFORE" | "INSERT_AFTER" | "REMOVE" | "REPLACE" | "MERGE"
    )
}

/// What Istio ignores, or refuses.
fn wrong_with(operation: &str, target: &str) -> Option<(Code, String)> {
    let is_route = matches!(target, "ROUTE_CONFIGURATION" | "HTTP_ROUTE");
    let replaceable = matches!(target, "NETWORK_FILTER" | "HTTP_FILTER" | "VIRTUAL_HOST");
    let code = match operation {
        "ADD" if is_route => Code::EnvoyFilterUsesAddOperationIncorrectly,
        "REMOVE" if is_route => Code::EnvoyFilterUsesRemoveOperationIncorrectly,
        "REPLACE" if !replaceable => Code::EnvoyFilterUsesReplaceOperationIncorrectly,
        _ => return None,
    };
    let reason = format!("{operation} does nothing where applyTo is {target:?}");
    Some((code, reason))
}

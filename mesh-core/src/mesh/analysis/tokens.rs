//! Tokens: keys that are fetched from anywhere.

use super::Analysis;
use crate::config::{Code, Resource, Spec};

/// What istiod is told by, which addresses keys are never fetched from.
const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

impl Analysis<'_> {
    pub(super) fn tokens(&mut self) {
        for resource in self.set.iter() {
            self.keys_from_anywhere(resource);
        }
    }

    fn keys_from_anywhere(&mut self, deployment: &Resource) {
        let Spec::Deployment(written) = &deployment.spec else {
            return;
        };
        let containers = &written.spec.template.spec.containers;
        let is_told = containers.iter().flat_map(|container| &container.env);
        let is_told = is_told
            .filter(|var| var.name == BLOCKED)
            .any(|var| var.value.as_ref().is_some_and(|value| !value.is_empty()));
        if deployment.metadata.labels.value("app") != Some("istiod") || is_told {
            return;
        }
        let fetching = self.set.iter().filter(|resource| match &resource.spec {
            Spec::RequestAuthentication(written) => {
                written.jwt_rules.iter().any(|rule| rule.jwks.is_empty())
            }
            _ => false,
        });
        let names: Vec<_> = fetching
            .map(|resource| resource.reference.to_string())
            .collect();
        if let [first, more @ ..] = &names[..] {
            let more = match more.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let reason = format!("fetches the keys of {first}{more} from wherever they say");
            let code = Code::JwksUriFetchUnrestricted;
            self.warn(code, &deployment.reference, "spec.template.spec", reason);
            self.advise(format!(
                "set {BLOCKED} to the networks keys never come from"
            ));
        }
    }
}

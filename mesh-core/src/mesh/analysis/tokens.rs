//! Tokens: keys that are fetched from anywhere, routes by claims that nobody verifies.

use super::Analysis;
use crate::{
    config::{Code, Resource, Spec},
    mesh::{GatewayName, HttpRule, Mesh, TrafficRules},
};

/// What istiod is told by, which addresses keys are never fetched from.
const BLOCKED: &str = "BLOCKED_CIDRS_IN_JWKS_URIS";

impl Analysis<'_> {
    pub(super) fn tokens(&mut self) {
        for resource in self.set.iter() {
            self.keys_from_anywhere(resource);
        }
    }

    /// Rules that ask for claims where no token is verified: who asks for a claim gets no request,
    /// and who asks for its absence gets every one.
    pub(super) fn routes_by_claims(&mut self, mesh: &Mesh) {
        let traffic = self.rules.traffic.iter();
        for traffic in traffic.filter(|rules| !rules.is_gateway_api()) {
            let asks = |rule: &&HttpRule| rule.matches.iter().any(|one| !one.claims.is_empty());
            let Some(rule) = traffic.http.iter().find(asks) else {
                continue;
            };
            if let Some(reason) = self.unverified_at(traffic, mesh) {
                let of = rule.origin.as_ref().unwrap_or(&traffic.reference);
                let code = Code::JwtClaimBasedRoutingWithoutRequestAuthN;
                self.warn(code, of, &rule.field, reason);
            }
        }
    }

    /// One of the places where rules are in effect that verifies no token.
    fn unverified_at(&self, traffic: &TrafficRules, mesh: &Mesh) -> Option<String> {
        traffic.gateways.iter().find_map(|name| {
            if *name == GatewayName::Mesh {
                let reason = "asks for claims, and sidecars verify no token of what leaves them";
                return Some(reason.to_owned());
            }
            let mut gateways = self.rules.gateways.iter();
            let gateway = gateways.find(|gateway| gateway.name == *name)?;
            let mut instances = self.instances.iter();
            let lacking = instances.find(|instance| {
                gateway.selector.matches(instance.labels)
                    && mesh
                        .tokens(instance.namespace(), instance.labels)
                        .is_empty()
            })?;
            Some(format!(
                "asks for claims, and no RequestAuthentication is for {} of {}",
                lacking.resource.reference, gateway.reference
            ))
        })
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

//! Rules that leave the decision to another VirtualService.

use super::{Lower, each};
use crate::{
    config::{Problem, Resource, istio},
    mesh::{
        GatewayName, HttpRule, MeshDefaults, findings::Findings, traffic::delegate::Delegation,
    },
};

/// A rule of a delegate after it took over what it inherits.
pub(in crate::mesh) fn delegated_rule(
    resource: &Resource,
    field: &str,
    merged: &istio::HttpRoute,
    defaults: &MeshDefaults,
) -> (Option<HttpRule>, Vec<Problem>) {
    let mut lower = Lower {
        findings: Findings::new(resource),
        namespace: &resource.reference.namespace,
        defaults,
    };
    let rule = lower.http_rule(field.into(), merged);
    let (_, problems) = lower.findings.conclude(());
    (rule, problems)
}

impl Lower<'_> {
    /// The rules it decides itself, and those it leaves to others.
    pub(super) fn http_rules(
        &mut self,
        written: &istio::VirtualService,
    ) -> (Vec<HttpRule>, Vec<Delegation>) {
        let (mut own, mut delegations) = (Vec::new(), Vec::new());
        for (field, route) in each(&written.http, "spec.http") {
            match &route.delegate {
                None => own.extend(self.http_rule(field, route)),
                Some(to) if written.hosts.is_empty() => {
                    let at = format!("{field}.delegate");
                    let reason = "a VirtualService that others delegate to decides itself";
                    self.findings.error(&at, reason);
                    self.findings.advise(format!(
                        "move the rules of {} here, or delegate to it directly",
                        to.name
                    ));
                }
                Some(to) => {
                    let delegation = self.delegation(field, route, to, own.len());
                    delegations.extend(delegation);
                }
            }
        }
        (own, delegations)
    }

    /// Without hosts a VirtualService is for others to delegate to: it says nothing about where it
    /// is in effect, and speaks of requests only.
    pub(super) fn as_delegate(&mut self, written: &istio::VirtualService) {
        let without = "has no effect without hosts: others delegate only requests to this";
        if !written.gateways.is_empty() {
            let reason = "is for the VirtualService that delegates to this to say";
            self.findings.error("spec.gateways", reason);
        }
        if !written.tls.is_empty() {
            self.findings.error("spec.tls", without);
        }
        if !written.tcp.is_empty() {
            self.findings.error("spec.tcp", without);
        }
        if written.http.is_empty() {
            self.findings
                .error("spec.hosts", "at least one host is needed");
        }
    }

    fn delegation(
        &mut self,
        field: String,
        written: &istio::HttpRoute,
        to: &istio::Delegate,
        before: usize,
    ) -> Option<Delegation> {
        if to.name.is_empty() {
            let at = format!("{field}.delegate.name");
            self.findings.error(&at, "is missing");
        }
        for (what, is_given) in [
            ("route", !written.route.is_empty()),
            ("redirect", written.redirect.is_some()),
        ] {
            if is_given {
                let at = format!("{field}.{what}");
                let reason = "the rule delegates: where requests go is for the delegate to say";
                self.findings.error(&at, reason);
            }
        }
        self.inherited(&field, written);
        let namespace = match &*to.namespace {
            "" => self.namespace.clone(),
            namespace => namespace.into(),
        };
        Some(Delegation {
            before,
            field,
            to: (namespace, (&*to.name).into()),
            route: self.qualified(written),
        })
    }

    /// Looks at what the delegate's rules inherit, so that what is wrong is said here.
    fn inherited(&mut self, field: &str, written: &istio::HttpRoute) {
        for (field, condition) in each(&written.matches, &format!("{field}.match")) {
            self.http_match(&field, condition);
        }
        if let Some(fault) = &written.fault {
            self.fault(&format!("{field}.fault"), fault);
        }
        if let Some(cors) = &written.cors_policy {
            self.cors(&format!("{field}.corsPolicy"), cors);
        }
        if let Some(retries) = &written.retries {
            self.retries(&format!("{field}.retries"), retries);
        }
        if let Some(response) = &written.direct_response {
            self.respond(&format!("{field}.directResponse"), response);
        }
        self.headers(&format!("{field}.headers"), &written.headers);
        self.rewrite(field, written);
        self.mirrors(field, written);
    }

    /// The same rule with names that mean the same in the delegate's namespace.
    fn qualified(&self, written: &istio::HttpRoute) -> istio::HttpRoute {
        let mut route = istio::HttpRoute {
            delegate: None,
            ..written.clone()
        };
        let mirrors = route
            .mirrors
            .iter_mut()
            .map(|mirror| &mut mirror.destination);
        for destination in route.mirror.iter_mut().chain(mirrors) {
            if let Ok(host) = destination.host.parse() {
                destination.host = self.defaults.in_full(&host, self.namespace).to_string();
            }
        }
        let gateways = route
            .matches
            .iter_mut()
            .flat_map(|found| &mut found.gateways);
        for gateway in gateways {
            *gateway = GatewayName::parse(gateway, self.namespace).to_string();
        }
        route
    }
}

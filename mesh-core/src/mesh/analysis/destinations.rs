//! DestinationRules: subsets without instances, servers that are checked against too much.

use super::Analysis;
use crate::{
    config::{
        Code, Severity, Spec,
        istio::{ClientTlsMode, ClientTlsSettings, DestinationRule},
    },
    mesh::DestinationPolicy,
    name::ResourceRef,
};

impl Analysis<'_> {
    pub(super) fn destinations(&mut self) {
        for policy in &self.rules.destinations {
            self.subsets(policy);
        }
        for resource in self.set.iter() {
            if let Spec::DestinationRule(rule) = &resource.spec {
                self.verification(&resource.reference, rule);
            }
        }
    }

    fn subsets(&mut self, policy: &DestinationPolicy) {
        let of = &policy.reference;
        let Some(service) = self.rules.service(&policy.host, &of.namespace) else {
            return;
        };
        let Some(selector) = &service.selector else {
            return;
        };
        let here =
            |instance: &&super::Instance<'_>| instance.is_meant(&service.namespace, selector);
        let instances: Vec<_> = self.instances.iter().filter(here).collect();
        if self.instances.is_empty() {
            return;
        }
        let Some(Spec::DestinationRule(rule)) = self.set.resource(of).map(|r| &r.spec) else {
            return;
        };
        let mut empty = Vec::new();
        for (i, written) in rule.subsets.iter().enumerate() {
            let Some(subset) = policy.subsets.get(&*written.name) else {
                continue;
            };
            if !instances.iter().any(|i| subset.labels.matches(i.labels)) {
                empty.push((i, &written.name, &subset.labels.0));
            }
        }
        for (i, name, labels) in empty {
            let is_used = self.rules.traffic.iter().any(|traffic| {
                let mut all = traffic.destinations().map(|weighted| &weighted.destination);
                all.any(|to| to.host == service.host && to.subset.as_deref() == Some(name))
            });
            let (severity, what) = match is_used {
                true => (Severity::Warning, "requests that are sent there get a 503"),
                false => (Severity::Info, "no rule leads there"),
            };
            let reason = format!("no workload of {} has {labels}: {what}", service.host);
            let code = Code::DestinationRuleSubsetNotSelectPods;
            self.report(severity, code, of, &format!("spec.subsets[{i}]"), reason);
        }
    }

    fn verification(&mut self, of: &ResourceRef, rule: &DestinationRule) {
        let has_client = rule.workload_selector.is_some();
        let policy = &rule.traffic_policy;
        if let Some(wrong) = policy
            .tls
            .as_ref()
            .and_then(|tls| unverified(tls, has_client))
        {
            let code = Code::NoServerCertificateVerificationDestinationLevel;
            self.unverified(code, of, "spec.trafficPolicy.tls", wrong);
        }
        for (i, port) in policy.port_level_settings.iter().enumerate() {
            if let Some(wrong) = port
                .tls
                .as_ref()
                .and_then(|tls| unverified(tls, has_client))
            {
                let code = Code::NoServerCertificateVerificationPortLevel;
                let field = format!("spec.trafficPolicy.portLevelSettings[{i}].tls");
                self.unverified(code, of, &field, wrong);
            }
        }
    }

    fn unverified(&mut self, code: Code, of: &ResourceRef, field: &str, wrong: &str) {
        self.warn(code, of, field, wrong);
        let advice = "add caCertificates, or a credentialName and a workloadSelector, \
                      and subjectAltNames";
        self.advise(advice.to_owned());
    }
}

/// What a server need not prove.
fn unverified(tls: &ClientTlsSettings, has_client: bool) -> Option<&'static str> {
    let by_credential = !tls.credential_name.is_empty() && has_client;
    if !matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual) {
        None
    } else if tls.insecure_skip_verify == Some(true) {
        Some("the server need not prove who it is (insecureSkipVerify)")
    } else if tls.ca_certificates.is_empty() && !by_credential {
        Some("the server is checked against the authorities of the machine only")
    } else {
        None
    }
}

//! Whom policies are for: selectors that select nothing, or the same workload twice.

use super::Analysis;
use crate::{
    config::{Code, Resource, Spec},
    name::{ResourceRef, Selector},
};

const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// A resource that is for certain workloads.
struct Selecting<'a> {
    resource: &'a Resource,
    field: &'static str,
    selector: &'a Selector,
}

impl Analysis<'_> {
    pub(super) fn policies(&mut self) {
        let selecting: Vec<_> = self.set.iter().filter_map(|r| selecting(r)).collect();
        for one in &selecting {
            self.selected(one);
        }
        self.overlapping_sidecars();
        self.overlapping_telemetries();
        self.ambient();
    }

    fn selected(&mut self, one: &Selecting<'_>) {
        let Selecting {
            resource,
            field,
            selector,
        } = one;
        let of = &resource.reference;
        let is_root = of.namespace == self.rules.defaults.root_namespace;
        // Policies of the root namespace are for every namespace.
        let everywhere = is_root && *field == "spec.selector";
        let meant = |instance: &&super::Instance<'_>| {
            (everywhere || instance.namespace() == &*of.namespace)
                && selector.matches(instance.labels)
        };
        let first = self.instances.iter().find(meant);
        match first {
            // Where files tell of no workloads at all, nothing can be said.
            None if self.instances.is_empty() => {}
            None => {
                let labels = &selector.0;
                let reason = format!("no workload has {labels}: this has no effect");
                self.warn(Code::NoMatchingWorkloadsFound, of, field, reason);
                let labels = self.near(of, selector);
                self.advise(labels);
            }
            Some(instance) => {
                if let Some(gateway) = instance.labels.value(GATEWAY_LABEL)
                    && *field == "spec.selector"
                    && &*of.kind != "PeerAuthentication"
                {
                    let reason = format!("a selector does not count at the Gateway {gateway}");
                    self.warn(Code::IneffectiveSelector, of, field, reason);
                    let kind = "gateway.networking.k8s.io";
                    self.advise(format!(
                        "use targetRefs: [{{group: {kind}, kind: Gateway, name: {gateway}}}]"
                    ));
                }
            }
        }
    }

    /// A hint at what was meant: workloads elsewhere, or with another value.
    fn near(&self, of: &ResourceRef, selector: &Selector) -> Option<String> {
        let mut elsewhere = self.instances.iter();
        if let Some(found) = elsewhere.find(|instance| selector.matches(instance.labels)) {
            let of = &found.resource.reference;
            return Some(format!("{of} has them, but selectors end at the namespace"));
        }
        let here = self.instances.iter();
        let here: Vec<_> = here.filter(|i| i.namespace() == &*of.namespace).collect();
        selector.0.iter().find_map(|(key, value)| {
            let values = here.iter().filter_map(|i| i.labels.value(key));
            let similar = crate::config::nearest(value, values.filter(|v| *v != value))?;
            Some(format!("did you mean {key}: {similar}?"))
        })
    }

    /// Of the Sidecars that select one workload, only the oldest counts.
    fn overlapping_sidecars(&mut self) {
        let scopes = &self.rules.scopes;
        for (i, scope) in scopes.iter().enumerate() {
            let Some(selector) = &scope.selector else {
                continue;
            };
            let namespace = &*scope.reference.namespace;
            let taken = self.instances.iter().find_map(|instance| {
                let older = scopes[..i].iter().find(|older| {
                    let other = older.selector.as_ref();
                    other.is_some_and(|s| instance.is_meant(&older.reference.namespace, s))
                })?;
                instance
                    .is_meant(namespace, selector)
                    .then(|| (instance.resource.reference.clone(), older.reference.clone()))
            });
            if let Some((workload, older)) = taken {
                let place = self.place(&older);
                let reason = format!("{place} is for {workload} too, and wins");
                let code = Code::ConflictingSidecarWorkloadSelectors;
                let field = "spec.workloadSelector";
                self.warn(code, &scope.reference, field, reason);
                self.advise("let no two Sidecars select one workload".to_owned());
            }
        }
    }

    /// Of the Telemetries for one workload, or one namespace, only the oldest counts.
    fn overlapping_telemetries(&mut self) {
        let all = &self.rules.telemetry;
        for (i, young) in all.iter().enumerate() {
            let of = &young.reference;
            let mut older = all[..i].iter();
            let Some(selector) = &young.selector else {
                let wide = older.find(|older| {
                    older.selector.is_none() && older.reference.namespace == of.namespace
                });
                if let Some(older) = wide {
                    let place = self.place(&older.reference);
                    let reason = format!("{place} is for the whole namespace too, and wins");
                    let code = Code::MultipleTelemetriesWithoutWorkloadSelectors;
                    self.warn(code, of, "spec", reason);
                    self.advise("put what they say into one Telemetry".to_owned());
                }
                continue;
            };
            let taken = older.find_map(|older| {
                let other = older.selector.as_ref()?;
                let both = self.instances.iter().find(|instance| {
                    instance.is_meant(&of.namespace, selector)
                        && instance.is_meant(&older.reference.namespace, other)
                })?;
                Some((older, both.resource.reference.clone()))
            });
            if let Some((older, workload)) = taken {
                let place = self.place(&older.reference);
                let reason = format!("{place} is for {workload} too, and wins");
                let code = Code::ConflictingTelemetryWorkloadSelectors;
                self.warn(code, of, "spec.selector", reason);
                self.advise("let no two Telemetries select one workload".to_owned());
            }
        }
    }

    /// Sidecars for workloads that have none.
    fn ambient(&mut self) {
        for scope in &self.rules.scopes {
            let of = &scope.reference;
            let namespace = ResourceRef::new("", "Namespace", "", &of.namespace);
            let namespace = self.set.resource(&namespace);
            let label = |name| namespace.and_then(|n| n.metadata.labels.value(name));
            let has_sidecars = label("istio-injection") == Some("enabled")
                || label("istio.io/rev").is_some_and(|revision| !revision.is_empty());
            let whole = label("istio.io/dataplane-mode") == Some("ambient") && !has_sidecars;
            let one = scope.selector.as_ref().is_some_and(|selector| {
                let redirected = "ambient.istio.io/redirection";
                self.instances.iter().any(|instance| {
                    instance.is_meant(&of.namespace, selector)
                        && instance.says(redirected) == Some("enabled")
                })
            });
            if one || (whole && scope.selector.is_none()) {
                let reason = "has no effect: its workloads are in ambient mode";
                self.warn(Code::IneffectivePolicy, of, "spec", reason);
                self.advise("ambient workloads have no sidecars; remove it".to_owned());
            }
        }
    }
}

fn selecting(resource: &Resource) -> Option<Selecting<'_>> {
    let (field, selector) = match &resource.spec {
        Spec::AuthorizationPolicy(policy) => {
            ("spec.selector", &policy.selector.as_ref()?.match_labels)
        }
        Spec::RequestAuthentication(policy) => {
            ("spec.selector", &policy.selector.as_ref()?.match_labels)
        }
        Spec::PeerAuthentication(policy) => {
            ("spec.selector", &policy.selector.as_ref()?.match_labels)
        }
        Spec::Telemetry(telemetry) => ("spec.selector", &telemetry.selector.as_ref()?.match_labels),
        Spec::RateLimit(limit) => ("spec.selector", &limit.selector.as_ref()?.match_labels),
        Spec::Sidecar(sidecar) => (
            "spec.workloadSelector",
            &sidecar.workload_selector.as_ref()?.labels,
        ),
        Spec::ServiceEntry(entry) => (
            "spec.workloadSelector",
            &entry.workload_selector.as_ref()?.labels,
        ),
        _ => return None,
    };
    (!selector.is_empty()).then_some(Selecting {
        resource,
        field,
        selector,
    })
}

//! What runs, or will: the workloads that files tell of.

use std::sync::Arc;

use crate::{
    config::{ConfigSet, Resource, Spec, kubernetes::PodSpec},
    name::{Labels, Selector},
};

/// A pod, the pods a Deployment keeps running, or a WorkloadEntry.
pub(super) struct Instance<'a> {
    pub(super) resource: &'a Arc<Resource>,
    pub(super) labels: &'a Labels,
    /// What runs in it, where that is told.
    pub(super) pod: Option<&'a PodSpec>,
    /// Where that is told: `spec`, `spec.template.spec`.
    pub(super) field: &'static str,
    annotations: &'a std::collections::BTreeMap<String, String>,
}

impl Instance<'_> {
    pub(super) fn namespace(&self) -> &str {
        &self.resource.reference.namespace
    }

    pub(super) fn is_meant(&self, namespace: &str, selector: &Selector) -> bool {
        self.namespace() == namespace && selector.matches(self.labels)
    }

    /// What its label, else its annotation says of this name.
    pub(super) fn says(&self, name: &str) -> Option<&str> {
        let annotation = self.annotations.get(name).map(String::as_str);
        self.labels.value(name).or(annotation)
    }
}

/// Every workload.
pub(super) fn all(set: &ConfigSet) -> Vec<Instance<'_>> {
    set.iter().filter_map(of).collect()
}

fn of(resource: &Arc<Resource>) -> Option<Instance<'_>> {
    let metadata = &resource.metadata;
    let base = Instance {
        resource,
        labels: &metadata.labels,
        pod: None,
        field: "spec",
        annotations: &metadata.annotations,
    };
    match &resource.spec {
        Spec::Pod(pod) => Some(Instance {
            pod: Some(&pod.spec),
            ..base
        }),
        Spec::Deployment(deployment) => {
            let template = &deployment.spec.template;
            Some(Instance {
                labels: &template.metadata.labels,
                annotations: &template.metadata.annotations,
                pod: Some(&template.spec),
                field: "spec.template.spec",
                ..base
            })
        }
        Spec::WorkloadEntry(entry) => Some(Instance {
            labels: &entry.labels,
            ..base
        }),
        _ => None,
    }
}

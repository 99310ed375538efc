//! The environment of a container, as its manifest tells it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use mesh_core::config::{
    Problem, Resource, Severity,
    kubernetes::{EnvVar, EnvVarSource, PodSpec},
};

use super::PodPlan;

/// The name of the node all pods run on.
pub const NODE_NAME: &str = "local";

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// The manifest says it.
    Text(String),
    /// It follows from the pod (Kubernetes' downward API).
    OfPod(PodField),
}

/// What a pod's containers may be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodField {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`.
    Namespace,
    /// `metadata.labels['…']`; empty without that label.
    Label(String),
    /// `spec.serviceAccountName`.
    ServiceAccount,
    /// `spec.nodeName`.
    Node,
    /// `status.podIP` and `status.podIPs`.
    Address,
    /// `status.hostIP`.
    HostAddress,
}

impl EnvValue {
    /// The value in a pod at this address.
    pub fn of(&self, pod: &PodPlan, address: Ipv4Addr) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::OfPod(field) => field.of(pod, address),
        }
    }
}

impl PodField {
    /// The field that a `fieldPath` names, if it can be told here.
    pub fn at(path: &str) -> Option<Self> {
        let label = || {
            let quoted = path.strip_prefix("metadata.labels[")?.strip_suffix(']')?;
            ['\'', '"'].into_iter().find_map(|quote| {
                let key = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
                Some(Self::Label(key.to_owned()))
            })
        };
        Some(match path {
            "metadata.name" => Self::Name,
            "metadata.namespace" => Self::Namespace,
            "spec.serviceAccountName" => Self::ServiceAccount,
            "spec.nodeName" => Self::Node,
            "status.podIP" | "status.podIPs" => Self::Address,
            "status.hostIP" => Self::HostAddress,
            _ => return label(),
        })
    }

    fn of(&self, pod: &PodPlan, address: Ipv4Addr) -> String {
        match self {
            Self::Name => pod.key.name.clone(),
            Self::Namespace => pod.key.namespace.clone(),
            Self::Label(key) => pod.labels.value(key).unwrap_or_default().to_owned(),
            Self::ServiceAccount => pod.service_account.clone(),
            Self::Node => NODE_NAME.to_owned(),
            Self::Address => address.to_string(),
            Self::HostAddress => Ipv4Addr::LOCALHOST.to_string(),
        }
    }
}

/// What a container's manifest says of its environment, as far as it can be told here.
pub(super) fn values(written: &[EnvVar]) -> BTreeMap<String, EnvValue> {
    let values = written.iter().filter_map(|var| {
        let value = match (&var.value, &var.value_from) {
            (Some(text), _) => EnvValue::Text(text.clone()),
            (None, Some(source)) => EnvValue::OfPod(field(source)?),
            (None, None) => return None,
        };
        Some((var.name.clone(), value))
    });
    values.collect()
}

fn field(source: &EnvVarSource) -> Option<PodField> {
    PodField::at(&source.field_ref.as_ref()?.field_path)
}

/// The variables of a Deployment that nothing here can tell the value of.
pub(super) fn problems<'a>(
    resource: &'a Resource,
    spec: &'a PodSpec,
) -> impl Iterator<Item = Problem> + 'a {
    let containers = spec.containers.iter().enumerate();
    containers.flat_map(move |(container, written)| {
        let variables = written.env.iter().enumerate();
        variables.filter_map(move |(place, var)| {
            let source = var.value_from.as_ref().filter(|_| var.value.is_none())?;
            if field(source).is_some() {
                return None;
            }
            let place = format!("spec.template.spec.containers[{container}].env[{place}]");
            let (part, what) = unmet(source);
            let reason = format!("{} is not set: {what}", var.name);
            let field = format!("{place}.valueFrom{part}");
            Some(
                resource
                    .problem(Severity::Warning, &field, reason)
                    .advise("give it a value"),
            )
        })
    })
}

/// Which part of a source cannot be met, and why.
fn unmet(source: &EnvVarSource) -> (&'static str, String) {
    if let Some(field) = &source.field_ref {
        let reason = format!("a local mesh does not know {:?} of a pod", field.field_path);
        return (".fieldRef.fieldPath", reason);
    }
    let parts = [
        (".secretKeyRef", source.secret_key_ref.is_some()),
        (".configMapKeyRef", source.config_map_key_ref.is_some()),
        (".resourceFieldRef", source.resource_field_ref.is_some()),
    ];
    let named = parts.iter().find(|(_, is_written)| *is_written);
    let part = named.map_or("", |(part, _)| part);
    (part, "a local mesh takes values from fieldRef only".into())
}

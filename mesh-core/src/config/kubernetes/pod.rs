#![expect(
    missing_docs,
    reason = "fields and values are Kubernetes'; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, de::IgnoredAny};

use super::super::PortName;
use crate::name::{Labels, Selector};

/// A running instance (`v1` `Pod`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// What runs in a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub service_account_name: String,
    pub node_name: String,
    pub host_network: bool,
    pub security_context: SecurityContext,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
}

/// As whom processes run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    pub run_as_user: Option<i64>,
}

/// What became of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: String,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    pub conditions: Vec<PodCondition>,
}

/// An address of a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodIp {
    pub ip: String,
}

/// A finding about a pod, such as `Ready`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
}

/// One image that runs in a pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub ports: Vec<ContainerPort>,
    pub env: Vec<EnvVar>,
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub security_context: SecurityContext,
}

/// A port a container listens on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub name: String,
    pub container_port: u16,
    pub protocol: String,
}

/// A variable of a container's environment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    pub name: String,
    pub value: Option<String>,
    pub value_from: Option<EnvVarSource>,
}

/// Where the value of a variable comes from. Of what is no field of the pod, only its presence is
/// read.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVarSource {
    pub field_ref: Option<FieldRef>,
    pub secret_key_ref: Option<IgnoredAny>,
    pub config_map_key_ref: Option<IgnoredAny>,
    pub resource_field_ref: Option<IgnoredAny>,
}

/// A field of the pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef {
    pub field_path: String,
}

/// Pods to be kept running (`apps/v1` `Deployment`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployment {
    pub spec: DeploymentSpec,
}

/// Which pods are kept running.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    pub replicas: Option<u32>,
    pub selector: LabelSelector,
    pub template: PodTemplate,
}

/// Which pods belong to a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    pub match_labels: Selector,
}

/// What the pods of a Deployment are like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    pub metadata: PodMetadata,
    pub spec: PodSpec,
}

/// Labels and annotations of the pods of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMetadata {
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
}

impl DeploymentSpec {
    /// How many pods are wanted: one unless said otherwise.
    pub fn wanted(&self) -> u32 {
        self.replicas.unwrap_or(1)
    }
}

impl PodSpec {
    /// The service account: `default` unless said otherwise.
    pub fn service_account(&self) -> &str {
        match &*self.service_account_name {
            "" => "default",
            name => name,
        }
    }

    /// The number of the port a service means.
    pub fn port(&self, port: &PortName) -> Option<u16> {
        match port {
            PortName::Number(number) => Some(*number),
            PortName::Name(name) => self
                .containers
                .iter()
                .flat_map(|container| &container.ports)
                .find(|port| port.name == *name)
                .map(|port| port.container_port),
        }
    }
}

impl PodStatus {
    /// Whether it takes requests. A pod that says nothing about it does.
    pub fn is_ready(&self) -> bool {
        let condition = self.conditions.iter().find(|c| c.kind == "Ready");
        let over = matches!(&*self.phase, "Succeeded" | "Failed" | "Pending");
        !over && condition.is_none_or(|condition| condition.status == "True")
    }
}

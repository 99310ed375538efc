#![expect(
    missing_docs,
    reason = "fields and values are Kubernetes'; its API reference explains them"
)]

use serde::Deserialize;

use super::super::PortName;
use crate::name::Selector;

/// A name for a set of pods (`v1` `Service`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    pub spec: ServiceSpec,
}

/// What a service is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: ServiceType,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    pub ports: Vec<ServicePort>,
    pub selector: Selector,
    pub external_name: String,
    pub publish_not_ready_addresses: bool,
    pub session_affinity: String,
    pub internal_traffic_policy: String,
    pub traffic_distribution: String,
}

/// A port of a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub name: String,
    pub port: u16,
    pub target_port: Option<PortName>,
    pub protocol: String,
    pub app_protocol: Option<String>,
}

/// How a service is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
}

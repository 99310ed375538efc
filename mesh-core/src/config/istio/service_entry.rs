#![expect(
    missing_docs,
    reason = "fields and values are Istio's; its API reference explains them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::LabelSelector;
use crate::name::Labels;

/// A service that Kubernetes does not know (`networking.istio.io` `ServiceEntry`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntry {
    pub hosts: Vec<String>,
    pub addresses: Vec<String>,
    pub ports: Vec<ServiceEntryPort>,
    pub location: Location,
    pub resolution: Resolution,
    pub endpoints: Vec<WorkloadEntry>,
    pub workload_selector: Option<LabelSelector>,
    pub export_to: Vec<String>,
    pub subject_alt_names: Vec<String>,
}

/// A port of such a service.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntryPort {
    pub number: u16,
    pub protocol: String,
    pub name: String,
    pub target_port: Option<u16>,
}

/// Whether instances belong to the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    #[default]
    MeshExternal,
    MeshInternal,
}

/// How instances are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    #[default]
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

/// What instances outside Kubernetes have in common (`networking.istio.io` `WorkloadGroup`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadGroup {
    pub metadata: GroupMetadata,
    pub template: WorkloadEntry,
}

impl WorkloadGroup {
    /// Fields that exist but are not honoured yet.
    pub(crate) const NOT_YET: &'static [&'static str] = &["spec.probe"];
}

/// Labels and annotations of such instances.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMetadata {
    pub labels: Labels,
    pub annotations: BTreeMap<String, String>,
}

/// An instance outside Kubernetes (`networking.istio.io` `WorkloadEntry`), also part of a
/// `ServiceEntry`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntry {
    pub address: String,
    pub ports: BTreeMap<String, u16>,
    pub labels: Labels,
    pub network: String,
    pub locality: String,
    pub weight: Option<u32>,
    pub service_account: String,
}

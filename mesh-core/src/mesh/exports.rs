use std::{collections::BTreeSet, sync::Arc};

use super::findings::Findings;
use crate::config::istio::MeshConfig;

/// Which namespaces see a resource (`exportTo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exports {
    /// All of them.
    Everywhere,
    /// These.
    To(BTreeSet<Arc<str>>),
}

impl Exports {
    /// Reads `exportTo`: `*` is everywhere, `.` the resource's own namespace, `~` nowhere; nothing
    /// at all is everywhere.
    pub fn of(written: &[String], own: &Arc<str>) -> Self {
        if written.is_empty() || written.iter().any(|to| to == "*") {
            return Self::Everywhere;
        }
        let namespaces = written
            .iter()
            .filter(|to| *to != "~")
            .map(|to| match &**to {
                "." => own.clone(),
                namespace => namespace.into(),
            });
        Self::To(namespaces.collect())
    }

    /// Reads `exportTo`; nothing at all is what the mesh says, of which only `*`, `.` and `~` mean
    /// the same to every resource.
    pub(super) fn or(written: &[String], of_mesh: &[String], own: &Arc<str>) -> Self {
        match written {
            [] => Self::of(of_mesh, own),
            written => Self::of(written, own),
        }
    }

    /// Whether this namespace sees it, and no other.
    pub(super) fn is_only(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => false,
            Self::To(namespaces) => namespaces.len() == 1 && namespaces.contains(namespace),
        }
    }

    /// Whether this namespace sees it.
    pub fn reach(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::To(namespaces) => namespaces.contains(namespace),
        }
    }
}

/// Who sees resources that do not say, as `exportTo` is written; nothing is everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultExports {
    /// Services and ServiceEntries.
    pub services: Vec<String>,
    /// VirtualServices.
    pub traffic: Vec<String>,
    /// DestinationRules.
    pub destinations: Vec<String>,
}

impl DefaultExports {
    /// What the mesh says, else what held before.
    pub(super) fn of(written: &MeshConfig, before: &Self, findings: &mut Findings<'_>) -> Self {
        let mut of = |field: &str, written: &[String], base: &[String]| {
            for to in written {
                if !matches!(&**to, "*" | "." | "~") {
                    let reason = format!("{to:?} is none of \"*\", \".\", \"~\"");
                    findings.error(&format!("data.mesh.{field}"), reason);
                }
            }
            match written {
                [] => base.to_vec(),
                written => written.to_vec(),
            }
        };
        Self {
            services: of(
                "defaultServiceExportTo",
                &written.default_service_export_to,
                &before.services,
            ),
            traffic: of(
                "defaultVirtualServiceExportTo",
                &written.default_virtual_service_export_to,
                &before.traffic,
            ),
            destinations: of(
                "defaultDestinationRuleExportTo",
                &written.default_destination_rule_export_to,
                &before.destinations,
            ),
        }
    }
}

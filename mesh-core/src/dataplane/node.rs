use std::net::IpAddr;

use serde::Serialize;

use crate::name::{Labels, Locality};

/// Which proxy asks for a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Node {
    /// What it does.
    pub kind: NodeKind,
    /// Its pod's addresses, the first being the main one.
    pub addresses: Vec<IpAddr>,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's service account.
    pub service_account: String,
    /// The owner's name (the Deployment), for telemetry.
    pub workload: String,
    /// The pod's labels.
    pub labels: Labels,
    /// Where it runs.
    pub locality: Locality,
    /// The cluster it belongs to, `Kubernetes` by default as in Istio.
    pub cluster_id: String,
    /// The DNS suffix of its namespace's services, `cluster.local` by default.
    pub domain: String,
    /// The port of the explicit HTTP proxy listener, if the application is to use one.
    pub http_proxy_port: Option<u16>,
}

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Stands beside one application.
    Sidecar,
    /// Stands at the edge.
    Gateway,
}

impl Node {
    /// Istio's node id: `sidecar~<address>~<pod>.<namespace>~<namespace>.svc.<domain>`.
    pub fn id(&self) -> String {
        let kind = match self.kind {
            NodeKind::Sidecar => "sidecar",
            NodeKind::Gateway => "router",
        };
        let address = self
            .addresses
            .first()
            .map(IpAddr::to_string)
            .unwrap_or_default();
        let Self {
            name,
            namespace,
            domain,
            ..
        } = self;
        format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.{domain}")
    }
}

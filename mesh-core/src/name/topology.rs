//! Labels that tell where something runs.

/// The region, as Kubernetes labels machines.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The zone, as Kubernetes labels machines.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The part of a zone, as Istio labels machines.
pub const SUB_ZONE: &str = "topology.istio.io/subzone";
/// The network, as Istio labels workloads.
pub const NETWORK: &str = "topology.istio.io/network";
/// The cluster, as Istio labels workloads.
pub const CLUSTER: &str = "topology.istio.io/cluster";
/// The machine, as Kubernetes labels it.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

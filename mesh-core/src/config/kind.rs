use super::{gateway_api::GatewayApi, istio, kubernetes, mesh_test::MeshTest, own};

/// What a resource says, by kind. Closed: a kind that is not here is reported, not carried.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "configuration, made rarely and kept in an Arc"
)]
#[expect(missing_docs, reason = "each kind is documented at its type")]
pub enum Spec {
    VirtualService(istio::VirtualService),
    DestinationRule(istio::DestinationRule),
    Gateway(istio::Gateway),
    ServiceEntry(istio::ServiceEntry),
    WorkloadEntry(istio::WorkloadEntry),
    WorkloadGroup(istio::WorkloadGroup),
    Sidecar(istio::Sidecar),
    ProxyConfig(istio::ProxyConfig),
    Telemetry(istio::Telemetry),
    RateLimit(own::RateLimit),
    PeerAuthentication(istio::PeerAuthentication),
    RequestAuthentication(istio::RequestAuthentication),
    AuthorizationPolicy(istio::AuthorizationPolicy),
    GatewayApi(GatewayApi),
    Service(kubernetes::Service),
    Pod(kubernetes::Pod),
    Deployment(kubernetes::Deployment),
    EndpointSlice(kubernetes::EndpointSlice),
    Secret(kubernetes::Secret),
    ConfigMap(kubernetes::ConfigMap),
    MeshTest(MeshTest),
    Namespace,
    ServiceAccount,
}

pub(super) const NETWORKING: &str = "networking.istio.io";
pub(super) const MESH: &str = "mesh.local";
pub(super) const SECURITY: &str = "security.istio.io";
pub(super) const TELEMETRY: &str = "telemetry.istio.io";

impl Spec {
    /// The API group, empty for Kubernetes' core.
    pub fn group(&self) -> &'static str {
        match self {
            Self::VirtualService(_)
            | Self::DestinationRule(_)
            | Self::Gateway(_)
            | Self::ServiceEntry(_)
            | Self::WorkloadEntry(_)
            | Self::WorkloadGroup(_)
            | Self::Sidecar(_)
            | Self::ProxyConfig(_) => NETWORKING,
            Self::Telemetry(_) => TELEMETRY,
            Self::RateLimit(_) => MESH,
            Self::PeerAuthentication(_)
            | Self::RequestAuthentication(_)
            | Self::AuthorizationPolicy(_) => SECURITY,
            Self::GatewayApi(_) => GatewayApi::GROUP,
            Self::MeshTest(_) => MESH,
            Self::Deployment(_) => "apps",
            Self::EndpointSlice(_) => "discovery.k8s.io",
            Self::Service(_)
            | Self::Pod(_)
            | Self::Secret(_)
            | Self::ConfigMap(_)
            | Self::Namespace
            | Self::ServiceAccount => "",
        }
    }

    /// The kind, as in `kind: VirtualService`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::VirtualService(_) => "VirtualService",
            Self::DestinationRule(_) => "DestinationRule",
            Self::Gateway(_) => "Gateway",
            Self::ServiceEntry(_) => "ServiceEntry",
            Self::WorkloadEntry(_) => "WorkloadEntry",
            Self::WorkloadGroup(_) => "WorkloadGroup",
            Self::Sidecar(_) => "Sidecar",
            Self::ProxyConfig(_) => "ProxyConfig",
            Self::Telemetry(_) => "Telemetry",
            Self::RateLimit(_) => "RateLimit",
            Self::PeerAuthentication(_) => "PeerAuthentication",
            Self::RequestAuthentication(_) => "RequestAuthentication",
            Self::AuthorizationPolicy(_) => "AuthorizationPolicy",
            Self::GatewayApi(of) => of.kind(),
            Self::Service(_) => "Service",
            Self::Pod(_) => "Pod",
            Self::Deployment(_) => "Deployment",
            Self::EndpointSlice(_) => "EndpointSlice",
            Self::Secret(_) => "Secret",
            Self::ConfigMap(_) => "ConfigMap",
            Self::MeshTest(_) => "MeshTest",
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
        }
    }
}

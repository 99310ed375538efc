//! The Gateway API's resources as they are written (`gateway.networking.k8s.io`), at any version.

mod backend_tls_policy;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_filter;
mod http_route;
mod l4_route;
mod reference_grant;
mod references;

#[cfg(test)]
mod tests;

pub use backend_tls_policy::{
    BackendTlsPolicy, BackendValidation, SubjectAltName, SubjectAltNameKind, WellKnownRoots,
};
pub use gateway::{
    AddressKind, AllowedRoutes, BackendTls, FrontendTls, FrontendValidation,
    FrontendValidationMode, Gateway, GatewayAddress, GatewayTls, Infrastructure, Listener,
    ListenerTls, NamespacesFrom, PortTls, RouteGroupKind, RouteNamespaces, TlsMode, TlsValidation,
};
pub use gateway_class::GatewayClass;
pub use grpc_route::{
    GrpcBackendRef, GrpcFilter, GrpcFilterKind, GrpcMatch, GrpcMethodMatch, GrpcRoute, GrpcRule,
};
pub use http_filter::{
    CorsFilter, Fraction, HeaderFilter, HeaderLine, HttpFilter, HttpFilterKind, MirrorFilter,
    PathModifier, PathModifierKind, RedirectFilter, RewriteFilter,
};
pub use http_route::{
    HttpBackendRef, HttpMatch, HttpRoute, HttpRule, HttpTimeouts, MatchKind, PathMatch,
    PathMatchKind, RouteRetry, ValueMatch,
};
pub use l4_route::{TcpRoute, TcpRule, TlsRoute, TlsRule};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant};
pub use references::{
    BackendObjectRef, BackendRef, LabelExpression, LabelRequirements, LabelSelector, ObjectRef,
    ParentRef, PolicyTargetRef, SecretRef,
};

/// What a resource of the Gateway API says, by kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "configuration, made rarely and kept in an Arc"
)]
#[expect(missing_docs, reason = "each kind is documented at its type")]
pub enum GatewayApi {
    GatewayClass(GatewayClass),
    Gateway(Gateway),
    HttpRoute(HttpRoute),
    GrpcRoute(GrpcRoute),
    TcpRoute(TcpRoute),
    TlsRoute(TlsRoute),
    ReferenceGrant(ReferenceGrant),
    BackendTlsPolicy(BackendTlsPolicy),
}

impl GatewayApi {
    /// The API group of every kind.
    pub const GROUP: &'static str = "gateway.networking.k8s.io";

    /// The versions that were published; the meaning of a field is the same in all of them.
    pub(crate) const VERSIONS: &'static [&'static str] = &["v1", "v1beta1", "v1alpha2", "v1alpha3"];

    /// Kinds of the group that are known and not read.
    pub(crate) const NOT_YET: &'static [&'static str] = &["UDPRoute", "ListenerSet"];

    /// The kind, as in `kind: HTTPRoute`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::GatewayClass(_) => "GatewayClass",
            Self::Gateway(_) => "Gateway",
            Self::HttpRoute(_) => "HTTPRoute",
            Self::GrpcRoute(_) => "GRPCRoute",
            Self::TcpRoute(_) => "TCPRoute",
            Self::TlsRoute(_) => "TLSRoute",
            Self::ReferenceGrant(_) => "ReferenceGrant",
            Self::BackendTlsPolicy(_) => "BackendTLSPolicy",
        }
    }
}

//! The kinds that are read, and how each is.

use serde::de::DeserializeOwned;

use super::{
    Reader,
    fields::{Fields, ISTIO},
};
use crate::{
    config::{
        Spec,
        gateway_api::{self, GatewayApi},
        istio,
        kind::{MESH, NETWORKING, SECURITY, TELEMETRY},
        tree::Node,
    },
    name::ResourceRef,
};

/// The kinds that are read, for advice.
pub(super) const KINDS: &[(&str, &str)] = &[
    (NETWORKING, "VirtualService"),
    (NETWORKING, "DestinationRule"),
    (NETWORKING, "Gateway"),
    (NETWORKING, "ServiceEntry"),
    (NETWORKING, "WorkloadEntry"),
    (NETWORKING, "WorkloadGroup"),
    (NETWORKING, "Sidecar"),
    (NETWORKING, "ProxyConfig"),
    (TELEMETRY, "Telemetry"),
    (MESH, "RateLimit"),
    (SECURITY, "PeerAuthentication"),
    (SECURITY, "AuthorizationPolicy"),
    (SECURITY, "RequestAuthentication"),
    (MESH, "MeshTest"),
    ("", "Service"),
    ("", "Pod"),
    ("", "Secret"),
    ("", "ConfigMap"),
    ("", "Namespace"),
    ("", "ServiceAccount"),
    ("apps", "Deployment"),
    ("discovery.k8s.io", "EndpointSlice"),
    (GatewayApi::GROUP, "GatewayClass"),
    (GatewayApi::GROUP, "Gateway"),
    (GatewayApi::GROUP, "HTTPRoute"),
    (GatewayApi::GROUP, "GRPCRoute"),
    (GatewayApi::GROUP, "TCPRoute"),
    (GatewayApi::GROUP, "TLSRoute"),
    (GatewayApi::GROUP, "ReferenceGrant"),
    (GatewayApi::GROUP, "BackendTLSPolicy"),
];

pub(super) type Read = fn(&mut Reader, &Node, &ResourceRef) -> Option<Spec>;

/// How a kind is read. None if it is not.
pub(super) fn reader_of(group: &str, kind: &str) -> Option<Read> {
    let read: Read = match (group, kind) {
        (NETWORKING, "VirtualService") => |reader, node, reference| {
            Some(Spec::VirtualService(reader.istio(node, reference, &ISTIO)?))
        },
        (NETWORKING, "DestinationRule") => |reader, node, reference| {
            let fields = Fields {
                not_yet: istio::DestinationRule::NOT_YET,
                refused: istio::DestinationRule::REFUSED,
                ..ISTIO
            };
            let spec = reader.istio(node, reference, &fields)?;
            Some(Spec::DestinationRule(spec))
        },
        (NETWORKING, "Gateway") => |reader, node, reference| {
            let not_yet = istio::Gateway::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::Gateway(spec))
        },
        (NETWORKING, "ServiceEntry") => |reader, node, reference| {
            Some(Spec::ServiceEntry(reader.istio(node, reference, &ISTIO)?))
        },
        (NETWORKING, "WorkloadGroup") => |reader, node, reference| {
            let not_yet = istio::WorkloadGroup::NOT_YET;
            let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
            Some(Spec::WorkloadGroup(spec))
        },
        (NETWORKING, "WorkloadEntry") => |reader, node, reference| {
            Some(Spec::WorkloadEntry(reader.istio(node, reference, &ISTIO)?))
        },
        (NETWORKING, "Sidecar") => {
            |reader, node, reference| Some(Spec::Sidecar(reader.istio(node, reference, &ISTIO)?))
        }
        (NETWORKING, "ProxyConfig") => |reader, node, reference| {
            Some(Spec::ProxyConfig(reader.istio(node, reference, &ISTIO)?))
        },
        (TELEMETRY, "Telemetry") => |reader, node, reference| {
            let (not_yet, refused) = (istio::Telemetry::NOT_YET, istio::Telemetry::REFUSED);
            let fields = Fields {
                not_yet,
                refused,
                ..ISTIO
            };
            Some(Spec::Telemetry(reader.istio(node, reference, &fields)?))
        },
        (MESH, "RateLimit") => {
            |reader, node, reference| Some(Spec::RateLimit(reader.istio(node, reference, &ISTIO)?))
        }
        (SECURITY, "PeerAuthentication") => |reader, node, reference| {
            Some(Spec::PeerAuthentication(
                reader.istio(node, reference, &ISTIO)?,
            ))
        },
        (SECURITY, "AuthorizationPolicy") => |reader, node, reference| {
            Some(Spec::AuthorizationPolicy(
                reader.istio(node, reference, &ISTIO)?,
            ))
        },
        (SECURITY, "RequestAuthentication") => |reader, node, reference| {
            Some(Spec::RequestAuthentication(
                reader.istio(node, reference, &ISTIO)?,
            ))
        },
        (MESH, "MeshTest") => {
            |reader, node, reference| Some(Spec::MeshTest(reader.istio(node, reference, &ISTIO)?))
        }
        ("", "Service") => {
            |reader, node, reference| Some(Spec::Service(reader.kubernetes(node, reference)?))
        }
        ("", "Pod") => {
            |reader, node, reference| Some(Spec::Pod(reader.kubernetes(node, reference)?))
        }
        ("", "Secret") => {
            |reader, node, reference| Some(Spec::Secret(reader.kubernetes(node, reference)?))
        }
        ("", "ConfigMap") => {
            |reader, node, reference| Some(Spec::ConfigMap(reader.kubernetes(node, reference)?))
        }
        ("apps", "Deployment") => {
            |reader, node, reference| Some(Spec::Deployment(reader.kubernetes(node, reference)?))
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            |reader, node, reference| Some(Spec::EndpointSlice(reader.kubernetes(node, reference)?))
        }
        ("", "Namespace") => |_, _, _| Some(Spec::Namespace),
        ("", "ServiceAccount") => |_, _, _| Some(Spec::ServiceAccount),
        (GatewayApi::GROUP, kind) => gateway_api(kind)?,
        _ => return None,
    };
    Some(read)
}

/// The Gateway API's kinds: under `spec`, and every field counts.
fn gateway_api(kind: &str) -> Option<Read> {
    fn of<T: DeserializeOwned + Default>(
        (reader, node, reference): (&mut Reader, &Node, &ResourceRef),
        not_yet: &'static [&'static str],
        wrap: fn(T) -> GatewayApi,
    ) -> Option<Spec> {
        let spec = reader.istio(node, reference, &Fields { not_yet, ..ISTIO })?;
        Some(Spec::GatewayApi(wrap(spec)))
    }
    let read: Read = match kind {
        "GatewayClass" => |r, n, whose| of((r, n, whose), &[], GatewayApi::GatewayClass),
        "Gateway" => |r, n, whose| {
            let not_yet = gateway_api::Gateway::NOT_YET;
            of((r, n, whose), not_yet, GatewayApi::Gateway)
        },
        "HTTPRoute" => |r, n, whose| {
            let not_yet = gateway_api::HttpRoute::NOT_YET;
            of((r, n, whose), not_yet, GatewayApi::HttpRoute)
        },
        "GRPCRoute" => |r, n, whose| {
            let not_yet = gateway_api::GrpcRoute::NOT_YET;
            of((r, n, whose), not_yet, GatewayApi::GrpcRoute)
        },
        "TCPRoute" => |r, n, whose| {
            let not_yet = gateway_api::TcpRoute::NOT_YET;
            of((r, n, whose), not_yet, GatewayApi::TcpRoute)
        },
        "TLSRoute" => |r, n, whose| {
            let not_yet = gateway_api::TlsRoute::NOT_YET;
            of((r, n, whose), not_yet, GatewayApi::TlsRoute)
        },
        "ReferenceGrant" => |r, n, whose| of((r, n, whose), &[], GatewayApi::ReferenceGrant),
        "BackendTLSPolicy" => |r, n, whose| of((r, n, whose), &[], GatewayApi::BackendTlsPolicy),
        _ => return None,
    };
    Some(read)
}

//! `Node` ⇄ `envoy.config.core.v3.Node`, by Istio's conventions: what a node is stands in its id
//! (`sidecar~<address>~<pod>.<namespace>~<domain>`) and in its metadata.

use mesh_core::{
    dataplane::{Node, NodeKind},
    name::Labels,
};

use super::{
    metadata::{labels, object, object_value, read_labels, read_object, read_text, text},
    scalar::{locality, read_locality},
};
use crate::proto::core;

/// What our proxies call themselves. Envoy says `envoy`.
pub const USER_AGENT: &str = "mesh-proxy";

pub(crate) fn encode(value: &Node) -> core::Node {
    let addresses: Vec<String> = value.addresses.iter().map(ToString::to_string).collect();
    let mut fields = vec![
        ("NAME", text(value.name.as_str())),
        ("NAMESPACE", text(value.namespace.as_str())),
        ("SERVICE_ACCOUNT", text(value.service_account.as_str())),
        ("WORKLOAD_NAME", text(value.workload.as_str())),
        ("CLUSTER_ID", text(value.cluster_id.as_str())),
        ("INSTANCE_IPS", text(addresses.join(","))),
        ("LABELS", object_value(labels(&value.labels))),
    ];
    if let Some(port) = value.http_proxy_port {
        fields.push(("HTTP_PROXY_PORT", text(port.to_string())));
    }
    core::Node {
        id: value.id(),
        cluster: format!("{}.{}", value.workload, value.namespace),
        metadata: Some(object(fields)),
        locality: Some(locality(&value.locality)),
        user_agent_name: USER_AGENT.into(),
        user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion(
            env!("CARGO_PKG_VERSION").into(),
        )),
        ..Default::default()
    }
}

/// Reads a node; what its metadata leaves out is taken from its id. None if the id has another
/// shape than Istio's.
pub(crate) fn decode(wire: &core::Node) -> Option<Node> {
    let mut parts = wire.id.split('~');
    let (kind, address, pod, domain) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let kind = match kind {
        "sidecar" => NodeKind::Sidecar,
        "router" => NodeKind::Gateway,
        _ => return None,
    };
    let (name, namespace) = pod.rsplit_once('.')?;
    let fields = wire.metadata.as_ref().map(|metadata| &metadata.fields);
    let value = |key: &str| {
        let value = fields?.get(key)?.clone();
        read_text(value).filter(|text| !text.is_empty())
    };
    let addresses = value("INSTANCE_IPS")
        .iter()
        .flat_map(|list| list.split(','))
        .chain([address])
        .filter_map(|text| text.trim().parse().ok())
        .fold(Vec::new(), |mut seen, ip| {
            if !seen.contains(&ip) {
                seen.push(ip);
            }
            seen
        });
    let labels: Labels = fields
        .and_then(|fields| fields.get("LABELS"))
        .map(|value| read_labels(read_object(value.clone())))
        .unwrap_or_default();
    let suffix = domain
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix(".svc."))
        .unwrap_or("cluster.local");
    Some(Node {
        kind,
        addresses,
        name: value("NAME").unwrap_or_else(|| name.to_owned()),
        namespace: value("NAMESPACE").unwrap_or_else(|| namespace.to_owned()),
        service_account: value("SERVICE_ACCOUNT").unwrap_or_else(|| "default".to_owned()),
        workload: value("WORKLOAD_NAME").unwrap_or_else(|| name.to_owned()),
        labels,
        locality: read_locality(wire.locality.clone().unwrap_or_default()),
        cluster_id: value("CLUSTER_ID").unwrap_or_else(|| "Kubernetes".to_owned()),
        domain: suffix.to_owned(),
        http_proxy_port: value("HTTP_PROXY_PORT").and_then(|port| port.parse().ok()),
    })
}

//! Istio's metadata exchange: each side of a call tells the other what it is, in a header.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::{dataplane::Node, name::Labels};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use super::PeerLabels;

/// The headers of the exchange.
pub(crate) struct PeerMetadataHeaders;

impl PeerMetadataHeaders {
    /// What a proxy is: base64 of a protobuf `Struct`.
    pub(crate) const METADATA: HeaderName = HeaderName::from_static("x-envoy-peer-metadata");
    /// Its node id.
    pub(crate) const ID: HeaderName = HeaderName::from_static("x-envoy-peer-metadata-id");
    /// The largest that is read, in bytes.
    const MAX_LEN: usize = 8 * 1024;

    /// Takes the headers out and reads them; none if they are missing or malformed.
    pub(crate) fn take(headers: &mut HeaderMap) -> Option<HeaderValue> {
        headers.remove(Self::ID);
        headers.remove(Self::METADATA)
    }

    /// Reads a header's value.
    pub(crate) fn read(value: &HeaderValue) -> Option<PeerLabels> {
        if value.len() > Self::MAX_LEN {
            return None;
        }
        let bytes = STANDARD.decode(value.as_bytes()).ok()?;
        Some(labels_of(&Struct::decode(&bytes[..]).ok()?))
    }
}

/// What this proxy tells others.
#[derive(Debug, Clone)]
pub(crate) struct PeerMetadata {
    metadata: HeaderValue,
    id: HeaderValue,
}

impl PeerMetadata {
    pub(crate) fn of(node: &Node) -> Self {
        let encoded = STANDARD.encode(struct_of(node).encode_to_vec());
        let header = |text: &str| HeaderValue::from_str(text).ok();
        Self {
            metadata: header(&encoded).expect("base64 is a header value"),
            id: header(&node.id()).unwrap_or_else(|| HeaderValue::from_static("unknown")),
        }
    }

    /// Adds the headers.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(PeerMetadataHeaders::METADATA, self.metadata.clone());
        headers.insert(PeerMetadataHeaders::ID, self.id.clone());
    }
}

impl PeerLabels {
    /// What metrics call the workload of a node.
    pub fn of(node: &Node) -> Self {
        Self::from_parts(
            &node.workload,
            &node.namespace,
            &node.cluster_id,
            &node.labels,
        )
    }

    fn from_parts(workload: &str, namespace: &str, cluster: &str, labels: &Labels) -> Self {
        Self {
            workload: workload.into(),
            namespace: namespace.into(),
            canonical_name: labels.canonical_name().unwrap_or(workload).into(),
            canonical_revision: labels.canonical_revision().into(),
            app: labels.value("app").unwrap_or_default().into(),
            version: labels.value("version").unwrap_or_default().into(),
            cluster: cluster.into(),
        }
    }
}

fn struct_of(node: &Node) -> Struct {
    let labels = node
        .labels
        .iter()
        .map(|(key, value)| (key.to_owned(), text(value)));
    let fields = [
        ("NAME", text(&node.name)),
        ("NAMESPACE", text(&node.namespace)),
        ("WORKLOAD_NAME", text(&node.workload)),
        ("CLUSTER_ID", text(&node.cluster_id)),
        ("SERVICE_ACCOUNT", text(&node.service_account)),
        (
            "LABELS",
            Value {
                kind: Some(Kind::StructValue(Struct {
                    fields: labels.collect(),
                })),
            },
        ),
    ];
    Struct {
        fields: fields.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}

fn labels_of(fields: &Struct) -> PeerLabels {
    let value = |key: &str| text_of(&fields.fields, key);
    let labels: Labels = match fields
        .fields
        .get("LABELS")
        .and_then(|value| value.kind.as_ref())
    {
        Some(Kind::StructValue(labels)) => labels
            .fields
            .keys()
            .map(|key| (key.as_str(), text_of(&labels.fields, key)))
            .collect(),
        _ => Labels::default(),
    };
    PeerLabels::from_parts(
        value("WORKLOAD_NAME"),
        value("NAMESPACE"),
        value("CLUSTER_ID"),
        &labels,
    )
}

fn text_of<'a>(fields: &'a BTreeMap<String, Value>, key: &str) -> &'a str {
    match fields.get(key).and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::{dataplane::NodeKind, name::Locality};

    use super::*;

    #[test]
    fn what_one_side_tells_the_other_reads() {
        let node = Node {
            kind: NodeKind::Sidecar,
            addresses: vec!["127.1.0.5".parse().unwrap()],
            name: "reviews-v2-0".into(),
            namespace: "default".into(),
            service_account: "bookinfo-reviews".into(),
            workload: "reviews-v2".into(),
            labels: [("app", "reviews"), ("version", "v2")]
                .into_iter()
                .collect(),
            locality: Locality::default(),
            cluster_id: "Kubernetes".into(),
            domain: "cluster.local".into(),
            http_proxy_port: None,
        };
        let mut headers = HeaderMap::new();
        PeerMetadata::of(&node).put(&mut headers);
        let value = PeerMetadataHeaders::take(&mut headers).unwrap();
        assert!(headers.is_empty());
        let labels = PeerMetadataHeaders::read(&value).unwrap();
        assert_eq!(labels, PeerLabels::of(&node));
        assert_eq!(&*labels.canonical_revision, "v2");
    }

    #[test]
    fn nonsense_is_no_one() {
        for bad in ["", "!!", "AAAA", "////"] {
            let value = HeaderValue::from_str(bad).unwrap();
            if let Some(labels) = PeerMetadataHeaders::read(&value) {
                assert_eq!(&*labels.workload, "", "{bad}");
            }
        }
    }
}

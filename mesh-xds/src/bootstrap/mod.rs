//! Envoy's bootstrap file as a plan: what a proxy runs on without a control plane.

#[cfg(test)]
mod tests;
mod yaml;

use std::{fmt, mem::take, net::SocketAddr, sync::Arc};

use mesh_core::dataplane::{Node, Snapshot};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::{
    codec::{
        self, Problem, cluster, listener,
        reader::{Reader, Unread},
        scalar::read_ip_address,
        security,
    },
    proto::bootstrap,
};

/// The descriptors of Envoy's API, made by the build script.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));

/// What a bootstrap file says.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Where the admin pages are served.
    pub admin: Option<SocketAddr>,
    /// Who the proxy is, if the file says it Istio's way.
    pub node: Option<Node>,
    /// Its static listeners, clusters and secrets.
    pub snapshot: Snapshot,
    /// Fields that are set and not used.
    pub ignored: Vec<Problem>,
}

/// A bootstrap file that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// Not YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// YAML, but not Envoy's bootstrap.
    #[error("{path}: {reason}")]
    Field {
        /// Where.
        path: String,
        /// What is the matter.
        reason: String,
    },
    /// It asks for what this proxy does not do, and leaving that out would not be safe.
    #[error("refused:{}", Lines(.0))]
    Refused(Vec<Problem>),
}

impl Bootstrap {
    /// Reads a bootstrap file in YAML or JSON.
    ///
    /// # Errors
    ///
    /// Text that is not a bootstrap, and one that asks for something that must not be left out.
    pub fn parse(text: &str) -> Result<Self, BootstrapError> {
        Self::from_wire(typed(yaml::parse(text).map_err(BootstrapError::Yaml)?)?)
    }

    fn from_wire(mut wire: bootstrap::Bootstrap) -> Result<Self, BootstrapError> {
        let mut reader = Reader::default();
        let r = &mut reader;
        let admin = wire.admin.take().and_then(|mut wire| {
            r.within("admin", |r| {
                let address = wire.address.take();
                r.finish(wire, Unread::IGNORED);
                read_ip_address(r, Some(address?))
            })
        });
        let node = wire.node.take().as_ref().and_then(codec::decode_node);
        let resources = wire.static_resources.take().unwrap_or_default();
        let snapshot = r.within("static_resources", |r| static_snapshot(r, resources));
        r.finish(
            wire,
            Unread::IgnoredExcept(&["dynamic_resources", "header_prefix"]),
        );
        let (refused, ignored): (Vec<_>, Vec<_>) = reader
            .into_problems()
            .into_iter()
            .partition(Problem::is_refusal);
        if refused.is_empty() {
            Ok(Self {
                admin,
                node,
                snapshot,
                ignored,
            })
        } else {
            Err(BootstrapError::Refused(refused))
        }
    }
}

fn typed(value: serde_json::Value) -> Result<bootstrap::Bootstrap, BootstrapError> {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build script wrote descriptors");
    let descriptor = pool
        .get_message_by_name(&bootstrap::Bootstrap::full_name())
        .expect("Envoy's API has a bootstrap");
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let dynamic = DynamicMessage::deserialize(descriptor, deserializer);
    let dynamic = dynamic.map_err(|error| BootstrapError::Field {
        path: track.path().to_string(),
        reason: error.to_string(),
    })?;
    bootstrap::Bootstrap::decode(dynamic.encode_to_vec().as_slice()).map_err(|error| {
        BootstrapError::Field {
            path: String::new(),
            reason: error.to_string(),
        }
    })
}

fn static_snapshot(r: &mut Reader, mut wire: bootstrap::bootstrap::StaticResources) -> Snapshot {
    let listeners = r.each("listeners", take(&mut wire.listeners), listener::decode);
    let clusters = r.each("clusters", take(&mut wire.clusters), cluster::decode);
    let secrets = r.each("secrets", take(&mut wire.secrets), security::read_secret);
    r.finish(wire, Unread::REFUSED);
    Snapshot {
        version: "static".into(),
        listeners: listeners.into_iter().map(Arc::new).collect(),
        clusters: clusters
            .into_iter()
            .map(|value| (value.name.clone(), Arc::new(value)))
            .collect(),
        secrets: secrets
            .into_iter()
            .map(|value| (value.name.clone(), Arc::new(value)))
            .collect(),
        ..Snapshot::default()
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

//! A snapshot as it is sent: encoded once, versioned by content.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use mesh_core::dataplane::{EndpointSet, Name, ResourceType, Snapshot};

use crate::{
    codec::{self, Resource},
    protocol::PerType,
};

/// A snapshot in the form in which it travels.
#[derive(Debug, Clone, Default)]
pub struct Served {
    version: Name,
    lanes: PerType<Lane>,
}

/// The resources of one type.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    /// Of all of them together.
    pub(crate) version: String,
    /// In the order they are sent.
    pub(crate) order: Vec<Name>,
    pub(crate) resources: BTreeMap<Name, Encoded>,
}

/// An encoded resource.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    resource: Resource,
    pub(crate) bytes: Bytes,
    pub(crate) hash: u64,
}

impl Served {
    /// Encodes a snapshot. Resources equal to those of `before` keep their bytes.
    pub fn new(snapshot: &Snapshot, before: Option<&Self>) -> Self {
        let mut served = Self {
            version: snapshot.version.clone(),
            ..Self::default()
        };
        let Snapshot {
            listeners,
            routes,
            clusters,
            endpoints,
            secrets,
            ..
        } = snapshot;
        let resources = (listeners.iter().cloned().map(Resource::Listener))
            .chain(routes.values().cloned().map(Resource::Routes))
            .chain(clusters.values().cloned().map(Resource::Cluster))
            .chain(endpoints.values().cloned().map(Resource::Endpoints))
            .chain(secrets.values().cloned().map(Resource::Secret));
        for resource in resources {
            let lane = &mut served.lanes[resource.resource_type()];
            let name = resource.name().clone();
            let known = before
                .and_then(|before| before.lane(resource.resource_type()).resources.get(&name))
                .filter(|known| known.is(&resource))
                .cloned();
            let encoded = known.unwrap_or_else(|| Encoded::new(resource));
            // Names are unique: of two, clients would refuse the second.
            if lane.resources.insert(name.clone(), encoded).is_none() {
                lane.order.push(name);
            }
        }
        served.lanes = served.lanes.map(Lane::versioned);
        served
    }

    /// What the snapshot calls itself.
    pub fn version(&self) -> &Name {
        &self.version
    }

    /// Whether both serve the same.
    pub fn is_same(&self, other: &Self) -> bool {
        use ResourceType::{Cluster, Endpoints, Listener, Routes, Secret};
        [Cluster, Endpoints, Listener, Routes, Secret]
            .into_iter()
            .all(|kind| self.lane(kind).version == other.lane(kind).version)
    }

    pub(crate) fn lane(&self, resource_type: ResourceType) -> &Lane {
        &self.lanes[resource_type]
    }
}

impl Lane {
    fn versioned(&self) -> Self {
        let hashes = self
            .order
            .iter()
            .map(|name| (name, self.resources[name].hash));
        Self {
            version: version_of(hashes),
            ..self.clone()
        }
    }
}

impl Encoded {
    fn new(resource: Resource) -> Self {
        let bytes = codec::encode(&resource);
        let hash = content_hash(&resource, &bytes);
        Self {
            resource,
            bytes,
            hash,
        }
    }

    /// An endpoint set that has gone: in state of the world this is the only way to say so.
    pub(crate) fn no_endpoints(name: &Name) -> Self {
        Self::new(Resource::Endpoints(Arc::new(EndpointSet {
            name: name.clone(),
            localities: Vec::new(),
        })))
    }

    /// The endpoint set that a cluster asks for.
    pub(crate) fn endpoints_name(&self) -> Option<&Name> {
        match &self.resource {
            Resource::Cluster(cluster) => cluster.endpoints_name(),
            _ => None,
        }
    }

    fn is(&self, resource: &Resource) -> bool {
        match (&self.resource, resource) {
            (Resource::Cluster(a), Resource::Cluster(b)) => same(a, b),
            (Resource::Endpoints(a), Resource::Endpoints(b)) => same(a, b),
            (Resource::Listener(a), Resource::Listener(b)) => same(a, b),
            (Resource::Routes(a), Resource::Routes(b)) => same(a, b),
            (Resource::Secret(a), Resource::Secret(b)) => same(a, b),
            _ => false,
        }
    }
}

fn same<T: PartialEq>(a: &Arc<T>, b: &Arc<T>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// The version of a list of resources: the same on every server and after every restart.
pub(crate) fn version_of<'a>(resources: impl Iterator<Item = (&'a Name, u64)>) -> String {
    let mut hash = Fnv::default();
    for (name, content) in resources {
        hash.write(name.as_bytes());
        hash.write(&[0]);
        hash.write(&content.to_le_bytes());
    }
    format!("{:016x}", hash.0)
}

/// Protobuf maps have no order on the wire, so the bytes of one value differ from time to time.
/// What does not differ is the value itself, and how often each byte occurs.
fn content_hash(resource: &Resource, bytes: &[u8]) -> u64 {
    let mut hash = Fnv::default();
    let mut counts = [0u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    for count in counts {
        hash.write(&count.to_le_bytes());
    }
    match resource {
        // Keys are in no text, but a secret has no maps either.
        Resource::Secret(_) => hash.write(bytes),
        other => hash.write(format!("{other:?}").as_bytes()),
    }
    hash.0
}

/// FNV-1a, 64 bit: unlike the standard library's, fixed for good.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

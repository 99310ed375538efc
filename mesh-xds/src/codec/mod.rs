//! The planned form to Envoy's protobufs and back, encode beside decode, one file per planned file.
//!
//! Encoding then decoding gives back what went in. Decoding never fails half-way: it reads on after
//! the first problem and reports them all, so that a refusal names everything at once. What is
//! refused and what is ignored: see [`Gravity`].
//!
//! Istio's own filters (`istio.metadata_exchange`, `istio.stats`, `istio.alpn`) travel under Istio's
//! type URLs and marked optional: Istio's proxy runs them, ours maps them, a stock Envoy leaves them
//! out.

mod access;
mod any;
mod claim;
pub(crate) mod cluster;
mod endpoints;
mod ext_authz;
mod filter;
mod http_filter;
mod limit;
pub(crate) mod listener;
mod matcher;
mod metadata;
mod node;
mod policy;
pub(crate) mod reader;
mod route;
pub(crate) mod scalar;
pub(crate) mod security;
mod stats;
mod telemetry;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use mesh_core::dataplane::{
    Cluster, EndpointSet, Listener, Name, ResourceType, RouteTable, Secret,
};
use prost::Message;

pub use any::{resource_type, type_url};
pub use node::USER_AGENT;
pub(crate) use node::{decode as decode_node, encode as encode_node};
pub use reader::{Gravity, Problem};

use crate::proto::wkt;
use reader::Reader;

/// A planned resource of any type.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// CDS.
    Cluster(Arc<Cluster>),
    /// EDS.
    Endpoints(Arc<EndpointSet>),
    /// LDS.
    Listener(Arc<Listener>),
    /// RDS.
    Routes(Arc<RouteTable>),
    /// SDS.
    Secret(Arc<Secret>),
}

impl Resource {
    /// Its type.
    pub fn resource_type(&self) -> ResourceType {
        match self {
            Self::Cluster(_) => ResourceType::Cluster,
            Self::Endpoints(_) => ResourceType::Endpoints,
            Self::Listener(_) => ResourceType::Listener,
            Self::Routes(_) => ResourceType::Routes,
            Self::Secret(_) => ResourceType::Secret,
        }
    }

    /// Its name, unique within its type.
    pub fn name(&self) -> &Name {
        match self {
            Self::Cluster(value) => &value.name,
            Self::Endpoints(value) => &value.name,
            Self::Listener(value) => &value.name,
            Self::Routes(value) => &value.name,
            Self::Secret(value) => &value.name,
        }
    }
}

/// A resource with what decoding had to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The resource; to be used only if it [is accepted](Self::is_accepted).
    pub resource: Resource,
    /// What was refused or left aside.
    pub problems: Vec<Problem>,
}

impl Decoded {
    /// Whether nothing in it was refused.
    pub fn is_accepted(&self) -> bool {
        self.refusals().next().is_none()
    }

    /// The problems that make it unusable.
    pub fn refusals(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.is_refusal())
    }
}

/// Bytes that are no resource at all, so that not even a name is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf of the stated type.
    #[error("the bytes are not a {type_url}")]
    Malformed {
        /// The stated type.
        type_url: String,
        /// Why not.
        #[source]
        source: prost::DecodeError,
    },
    /// A type this crate does not carry.
    #[error("{type_url} is not a resource type")]
    UnknownType {
        /// The stated type.
        type_url: String,
    },
    /// A resource without a name.
    #[error("a {type_url} without a name")]
    Unnamed {
        /// The stated type.
        type_url: String,
    },
}

/// A resource as an encoded `google.protobuf.Any`.
pub fn encode(resource: &Resource) -> Bytes {
    let any = match resource {
        Resource::Cluster(value) => any::pack(&cluster::encode(value)),
        Resource::Endpoints(value) => any::pack(&endpoints::encode(value)),
        Resource::Listener(value) => any::pack(&listener::encode(value)),
        Resource::Routes(value) => any::pack(&route::encode(value)),
        Resource::Secret(value) => any::pack(&security::secret(value)),
    };
    any.encode_to_vec().into()
}

/// Reads an encoded `google.protobuf.Any`.
///
/// # Errors
///
/// Bytes of which not even the name can be read; everything else is a [`Problem`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let any = wkt::Any::decode(bytes).map_err(|source| DecodeError::Malformed {
        type_url: "type.googleapis.com/google.protobuf.Any".into(),
        source,
    })?;
    // Resources may come wrapped, to carry a name and a lifetime.
    if any.type_url == type_url_of_wrapper() {
        let wrapper: ResourceWrapper = read(&any)?;
        return decode_any(&wrapper.resource.unwrap_or_default());
    }
    decode_any(&any)
}

fn decode_any(any: &wkt::Any) -> Result<Decoded, DecodeError> {
    let mut reader = Reader::default();
    let r = &mut reader;
    let resource = match resource_type(&any.type_url) {
        Some(ResourceType::Cluster) => Resource::Cluster(cluster::decode(r, read(any)?).into()),
        Some(ResourceType::Endpoints) => {
            Resource::Endpoints(endpoints::decode(r, read(any)?).into())
        }
        Some(ResourceType::Listener) => Resource::Listener(listener::decode(r, read(any)?).into()),
        Some(ResourceType::Routes) => Resource::Routes(route::decode(r, read(any)?).into()),
        Some(ResourceType::Secret) => Resource::Secret(security::read_secret(r, read(any)?).into()),
        None => {
            return Err(DecodeError::UnknownType {
                type_url: any.type_url.clone(),
            });
        }
    };
    if resource.name().is_empty() {
        return Err(DecodeError::Unnamed {
            type_url: any.type_url.clone(),
        });
    }
    Ok(Decoded {
        resource,
        problems: reader.into_problems(),
    })
}

fn read<M: Message + Default>(any: &wkt::Any) -> Result<M, DecodeError> {
    M::decode(any.value.as_slice()).map_err(|source| DecodeError::Malformed {
        type_url: any.type_url.clone(),
        source,
    })
}

type ResourceWrapper = crate::proto::ResourceWrapper;

fn type_url_of_wrapper() -> &'static str {
    "type.googleapis.com/envoy.service.discovery.v3.Resource"
}

//! Type URLs, and messages packed under them.

use mesh_core::dataplane::ResourceType;
use prost::{Message, Name};

use super::reader::Reader;
use crate::proto::wkt;

/// The type URL of a resource type.
pub fn type_url(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        ResourceType::Endpoints => {
            "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        }
        ResourceType::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
        ResourceType::Routes => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        ResourceType::Secret => {
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        }
    }
}

/// The resource type of a type URL; none for those that this crate does not carry.
pub fn resource_type(url: &str) -> Option<ResourceType> {
    [
        ResourceType::Cluster,
        ResourceType::Endpoints,
        ResourceType::Listener,
        ResourceType::Routes,
        ResourceType::Secret,
    ]
    .into_iter()
    .find(|&candidate| type_url(candidate) == url)
}

pub(super) fn pack<M: Message + Name>(message: &M) -> wkt::Any {
    wkt::Any {
        type_url: format!("type.googleapis.com/{}", M::full_name()),
        value: message.encode_to_vec(),
    }
}

pub(super) fn holds<M: Name>(any: &wkt::Any) -> bool {
    full_name(&any.type_url) == M::full_name()
}

/// Takes the message out, which must be of this type.
pub(super) fn unpack<M: Message + Name + Default>(r: &mut Reader, any: &wkt::Any) -> Option<M> {
    match M::decode(any.value.as_slice()) {
        Ok(message) => Some(message),
        Err(error) => {
            r.refuse("", format!("is not a {}: {error}", M::full_name()));
            None
        }
    }
}

pub(super) fn full_name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

use std::collections::BTreeSet;

use bytes::Bytes;
use mesh_core::dataplane::{Name, ResourceType};

use crate::{
    codec::{resource_type, type_url},
    proto::{ControlPlaneId, DiscoveryRequest, DiscoveryResponse, Status},
};

/// gRPC's `INTERNAL`, which Envoy sends with a refusal.
const INTERNAL: i32 = 13;

/// What a client says about one resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientMessage {
    /// The type.
    pub resource_type: ResourceType,
    /// All the names it wants from now on; `*` for everything there is.
    pub names: BTreeSet<Name>,
    /// The version it runs on; empty if none.
    pub version: String,
    /// What it says to a response.
    pub answer: Answer,
}

/// What a client says to a response: the three things that Envoy's one request message can mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it speaks first on this stream.
    Subscribe,
    /// The response with this nonce is the newest it has: it took it, or only changes its names.
    Seen {
        /// The nonce.
        nonce: String,
    },
    /// It refuses something in the response with this nonce.
    Refused {
        /// The nonce.
        nonce: String,
        /// What is wrong, every bad resource named.
        detail: String,
    },
}

/// What a server says about one resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMessage {
    /// The type.
    pub resource_type: ResourceType,
    /// The version of these resources.
    pub version: String,
    /// Names this response on its stream.
    pub nonce: String,
    /// Encoded resources, shared by everyone they are sent to.
    pub resources: Vec<Bytes>,
}

impl ClientMessage {
    /// Reads a request; none if its type is one that is not carried.
    pub(crate) fn from_wire(wire: DiscoveryRequest) -> Option<Self> {
        let nonce = wire.response_nonce;
        Some(Self {
            resource_type: resource_type(&wire.type_url)?,
            names: wire.resource_names.into_iter().map(Name::from).collect(),
            version: wire.version_info,
            // A refusal is known by its error alone, never by versions.
            answer: match wire.error_detail {
                Some(status) => Answer::Refused {
                    nonce,
                    detail: status.message,
                },
                None if nonce.is_empty() => Answer::Subscribe,
                None => Answer::Seen { nonce },
            },
        })
    }

    pub(crate) fn into_wire(self) -> DiscoveryRequest {
        let (response_nonce, error_detail) = match self.answer {
            Answer::Subscribe => (String::new(), None),
            Answer::Seen { nonce } => (nonce, None),
            Answer::Refused { nonce, detail } => {
                let status = Status {
                    code: INTERNAL,
                    message: detail,
                    ..Default::default()
                };
                (nonce, Some(status))
            }
        };
        DiscoveryRequest {
            version_info: self.version,
            resource_names: self.names.iter().map(ToString::to_string).collect(),
            type_url: type_url(self.resource_type).to_owned(),
            response_nonce,
            error_detail,
            ..Default::default()
        }
    }
}

impl ServerMessage {
    /// Reads a response; none if its type is one that is not carried.
    pub(crate) fn from_wire(wire: DiscoveryResponse) -> Option<Self> {
        Some(Self {
            resource_type: resource_type(&wire.type_url)?,
            version: wire.version_info,
            nonce: wire.nonce,
            resources: wire.resources,
        })
    }

    pub(crate) fn into_wire(self, control_plane: &str) -> DiscoveryResponse {
        DiscoveryResponse {
            version_info: self.version,
            resources: self.resources,
            type_url: type_url(self.resource_type).to_owned(),
            nonce: self.nonce,
            control_plane: Some(ControlPlaneId {
                identifier: control_plane.to_owned(),
            }),
        }
    }
}

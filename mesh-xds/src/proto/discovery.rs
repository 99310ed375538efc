use bytes::Bytes;

/// The server's message of the state-of-the-world protocol: the same bytes as Envoy's
/// `envoy.service.discovery.v3.DiscoveryResponse`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct DiscoveryResponse {
    /// The version of these resources.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Each an encoded `google.protobuf.Any`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// What they all are.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Names this response in its acknowledgement.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Who sends it.
    #[prost(message, optional, tag = "6")]
    pub control_plane: Option<ControlPlaneId>,
}

/// Which control plane sent a response.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ControlPlaneId {
    /// Its name.
    #[prost(string, tag = "1")]
    pub identifier: String,
}

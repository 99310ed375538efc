//! Where the aggregated service lives, and how large its messages may be.

/// The service's name.
pub(crate) const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
/// Its method for state of the world.
pub(crate) const STREAM: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
/// The largest request: Envoy's node alone takes 61 KB, and every name of a large mesh may follow.
pub(crate) const MAX_REQUEST_BYTES: usize = 16 << 20;
/// The largest response: all clusters of a large mesh.
pub(crate) const MAX_RESPONSE_BYTES: usize = 256 << 20;

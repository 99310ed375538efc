use super::Kind;
use crate::config::nearest;

macro_rules! attributes {
    ($($variant:ident $name:literal $kind:ident,)*) => {
        /// What an expression may ask of a request or a connection: Envoy's attributes, and what
        /// Istio's metadata exchange tells of both ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "each is Envoy's attribute of the same name")]
        pub enum Attribute { $($variant,)* }

        impl Attribute {
            /// Every attribute.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as in `request.headers`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it holds.
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }
        }
    };
}

attributes! {
    RequestPath "request.path" Text,
    RequestUrlPath "request.url_path" Text,
    RequestHost "request.host" Text,
    RequestScheme "request.scheme" Text,
    RequestMethod "request.method" Text,
    RequestHeaders "request.headers" Map,
    RequestReferer "request.referer" Text,
    RequestUserAgent "request.useragent" Text,
    RequestId "request.id" Text,
    RequestProtocol "request.protocol" Text,
    RequestQuery "request.query" Text,
    RequestDuration "request.duration" Duration,
    RequestSize "request.size" Int,
    ResponseCode "response.code" Int,
    ResponseCodeDetails "response.code_details" Text,
    ResponseFlags "response.flags" Int,
    ResponseGrpcStatus "response.grpc_status" Int,
    ResponseHeaders "response.headers" Map,
    ResponseSize "response.size" Int,
    ResponseBackendLatency "response.backend_latency" Duration,
    SourceAddress "source.address" Text,
    SourcePort "source.port" Int,
    DestinationAddress "destination.address" Text,
    DestinationPort "destination.port" Int,
    ConnectionMtls "connection.mtls" Bool,
    ConnectionServerName "connection.requested_server_name" Text,
    ConnectionPeerUriSan "connection.uri_san_peer_certificate" Text,
    ConnectionLocalUriSan "connection.uri_san_local_certificate" Text,
    ConnectionTermination "connection.termination_details" Text,
    UpstreamAddress "upstream.address" Text,
    UpstreamPort "upstream.port" Int,
    UpstreamLocalAddress "upstream.local_address" Text,
    UpstreamPeerUriSan "upstream.uri_san_peer_certificate" Text,
    UpstreamTransportFailure "upstream.transport_failure_reason" Text,
    UpstreamAttempts "upstream.request_attempt_count" Int,
    XdsClusterName "xds.cluster_name" Text,
    XdsRouteName "xds.route_name" Text,
    XdsVirtualHostName "xds.virtual_host_name" Text,
    XdsFilterChainName "xds.filter_chain_name" Text,
    XdsListenerDirection "xds.listener_direction" Int,
    DownstreamPeerName "downstream_peer.name" Text,
    DownstreamPeerNamespace "downstream_peer.namespace" Text,
    DownstreamPeerWorkload "downstream_peer.workload" Text,
    DownstreamPeerService "downstream_peer.service" Text,
    DownstreamPeerRevision "downstream_peer.revision" Text,
    DownstreamPeerApp "downstream_peer.app" Text,
    DownstreamPeerVersion "downstream_peer.version" Text,
    DownstreamPeerCluster "downstream_peer.cluster" Text,
    UpstreamPeerName "upstream_peer.name" Text,
    UpstreamPeerNamespace "upstream_peer.namespace" Text,
    UpstreamPeerWorkload "upstream_peer.workload" Text,
    UpstreamPeerService "upstream_peer.service" Text,
    UpstreamPeerRevision "upstream_peer.revision" Text,
    UpstreamPeerApp "upstream_peer.app" Text,
    UpstreamPeerVersion "upstream_peer.version" Text,
    UpstreamPeerCluster "upstream_peer.cluster" Text,
}

/// What Envoy and Istio know besides. A name ending in a dot stands for all that begin with it.
const NOT_YET: &[&str] = &[
    "request.time",
    "request.total_size",
    "response.trailers",
    "response.total_size",
    "connection.id",
    "connection.tls_version",
    "connection.subject_local_certificate",
    "connection.subject_peer_certificate",
    "connection.dns_san_local_certificate",
    "connection.dns_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "connection.transport_failure_reason",
    "upstream.tls_version",
    "upstream.subject_local_certificate",
    "upstream.subject_peer_certificate",
    "upstream.dns_san_local_certificate",
    "upstream.dns_san_peer_certificate",
    "upstream.uri_san_local_certificate",
    "upstream.sha256_peer_certificate_digest",
    "upstream.cx_pool_ready_duration",
    "upstream.locality",
    "upstream.num_endpoints",
    "downstream_peer.",
    "upstream_peer.",
    "metadata",
    "metadata.",
    "filter_state",
    "filter_state.",
    "upstream_filter_state",
    "upstream_filter_state.",
    "node",
    "node.",
    "xds.",
    "request",
    "response",
    "source",
    "destination",
    "connection",
    "upstream",
    "upstream_peer",
    "downstream_peer",
];

impl Attribute {
    /// Whether proxies keep it until the end of a request, when access logs are written; of a map,
    /// those entries that an expression names.
    pub fn is_logged(self) -> bool {
        !matches!(
            self,
            Self::RequestScheme
                | Self::ResponseHeaders
                | Self::ConnectionLocalUriSan
                | Self::XdsVirtualHostName
                | Self::XdsFilterChainName
                | Self::DownstreamPeerName
                | Self::UpstreamPeerName
        )
    }

    /// The attribute of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|attribute| attribute.name() == name)
    }

    /// Whether others know an attribute of this name, or all of them as one value.
    pub(super) fn is_known_elsewhere(name: &str) -> bool {
        NOT_YET.iter().any(|known| match known.ends_with('.') {
            true => name.starts_with(known),
            false => *known == name,
        })
    }

    /// An attribute much like what was written.
    pub(super) fn similar(name: &str) -> Option<&'static str> {
        nearest(name, Self::ALL.iter().map(|attribute| attribute.name()))
    }
}

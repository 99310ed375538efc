//! The one door to Envoy's protobuf types.
//!
//! Nothing else in the workspace names the crate they come from, so it can be replaced here. The
//! response message is our own: it keeps resources as encoded bytes, so that one encoding serves
//! every proxy and is never copied.

mod discovery;
mod stats;

pub use discovery::{ControlPlaneId, DiscoveryResponse};
pub use envoy_types::pb::{
    envoy::{
        config::{
            accesslog::v3 as accesslog, bootstrap::v3 as bootstrap, cluster::v3 as cluster,
            core::v3 as core, endpoint::v3 as endpoint, listener::v3 as listener, rbac::v3 as rbac,
            route::v3 as route,
        },
        extensions::{
            access_loggers::{
                file::v3 as file_log, filters::cel::v3 as cel_filter, stream::v3 as stream_log,
            },
            filters::{
                common::fault::v3 as fault_common,
                http::{
                    cors::v3 as http_cors, ext_authz::v3 as http_ext_authz,
                    fault::v3 as http_fault, grpc_stats::v3 as http_grpc_stats,
                    jwt_authn::v3 as jwt_authn, rbac::v3 as http_rbac, router::v3 as http_router,
                },
                listener::{
                    http_inspector::v3 as http_inspector, original_dst::v3 as original_dst,
                    proxy_protocol::v3 as proxy_protocol, tls_inspector::v3 as tls_inspector,
                },
                network::{
                    ext_authz::v3 as network_ext_authz, http_connection_manager::v3 as hcm,
                    rbac::v3 as network_rbac, tcp_proxy::v3 as tcp_proxy,
                },
            },
            retry::{
                host::previous_hosts::v3 as previous_hosts,
                priority::previous_priorities::v3 as previous_priorities,
            },
            transport_sockets::{
                proxy_protocol::v3 as upstream_proxy_protocol, raw_buffer::v3 as raw_buffer,
                tls::v3 as tls,
            },
            upstreams::http::v3 as upstream_http,
        },
        service::discovery::v3::{DiscoveryRequest, Resource as ResourceWrapper},
        r#type::{matcher::v3 as matcher, tracing::v3 as span_tags, v3 as types},
    },
    google::{protobuf as wkt, rpc::Status},
};
pub use stats::{MetricConfig, PluginConfig};

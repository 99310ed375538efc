//! How a cluster's instances are found.

use std::mem::take;

use mesh_core::dataplane::{Discovery, DnsDiscovery, EndpointSet, OriginalDestination};

use crate::{
    codec::{
        endpoints,
        filter::ads,
        reader::{Reader, Unread},
        scalar::{duration, number, read_duration, read_port},
    },
    proto::cluster as v3,
};
use v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig};

/// Envoy's wait between two look-ups.
const DNS_REFRESH: std::time::Duration = std::time::Duration::from_secs(5);

#[expect(
    deprecated,
    reason = "what Istio's control plane sends and every proxy reads"
)]
pub(super) fn write_discovery(wire: &mut v3::Cluster, value: &Discovery) {
    let mut dns = |discovery: &DnsDiscovery| {
        wire.load_assignment = Some(endpoints::encode(&discovery.endpoints));
        wire.dns_refresh_rate = Some(duration(discovery.refresh));
        wire.respect_dns_ttl = discovery.respect_ttl;
    };
    let kind = match value {
        Discovery::Told(name) => {
            wire.eds_cluster_config = Some(v3::cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                service_name: name.to_string(),
            });
            DiscoveryType::Eds
        }
        Discovery::Static(set) => {
            wire.load_assignment = Some(endpoints::encode(set));
            DiscoveryType::Static
        }
        Discovery::StrictDns(discovery) => {
            dns(discovery);
            DiscoveryType::StrictDns
        }
        Discovery::LogicalDns(discovery) => {
            dns(discovery);
            DiscoveryType::LogicalDns
        }
        Discovery::OriginalDestination(destination) => {
            if *destination != OriginalDestination::default() {
                wire.lb_config = Some(LbConfig::OriginalDstLbConfig(
                    v3::cluster::OriginalDstLbConfig {
                        use_http_header: destination.header.is_some(),
                        http_header_name: destination.header.clone().unwrap_or_default(),
                        upstream_port_override: destination
                            .port_override
                            .and_then(|port| number(port.into())),
                        ..Default::default()
                    },
                ));
            }
            DiscoveryType::OriginalDst
        }
    };
    wire.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
}

pub(super) fn read_discovery(r: &mut Reader, name: &str, wire: &mut v3::Cluster) -> Discovery {
    let kind = match wire.cluster_discovery_type.take() {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind).ok(),
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            r.refuse("cluster_type", format!("{} is not supported", custom.name));
            return Discovery::Static(EndpointSet::default());
        }
        None => Some(DiscoveryType::Static),
    };
    match kind {
        Some(DiscoveryType::Static) => Discovery::Static(read_assignment(r, name, wire)),
        Some(DiscoveryType::Eds) => {
            let eds = wire.eds_cluster_config.take().unwrap_or_default();
            let asked = Some(eds.service_name).filter(|asked| !asked.is_empty());
            Discovery::Told(asked.as_deref().unwrap_or(name).into())
        }
        Some(DiscoveryType::StrictDns) => Discovery::StrictDns(read_dns(r, name, wire)),
        Some(DiscoveryType::LogicalDns) => Discovery::LogicalDns(read_dns(r, name, wire)),
        Some(DiscoveryType::OriginalDst) => {
            Discovery::OriginalDestination(read_original_destination(r, wire))
        }
        None => {
            r.refuse("type", "is unknown");
            Discovery::Static(EndpointSet::default())
        }
    }
}

fn read_assignment(r: &mut Reader, name: &str, wire: &mut v3::Cluster) -> EndpointSet {
    match wire.load_assignment.take() {
        Some(wire) => r.within("load_assignment", |r| endpoints::decode(r, wire)),
        None => EndpointSet {
            name: name.into(),
            localities: Vec::new(),
        },
    }
}

#[expect(
    deprecated,
    reason = "what Istio's control plane sends and every proxy reads"
)]
fn read_dns(r: &mut Reader, name: &str, wire: &mut v3::Cluster) -> DnsDiscovery {
    DnsDiscovery {
        endpoints: read_assignment(r, name, wire),
        refresh: read_duration(r, "dns_refresh_rate", wire.dns_refresh_rate.take())
            .unwrap_or(DNS_REFRESH),
        respect_ttl: take(&mut wire.respect_dns_ttl),
    }
}

fn read_original_destination(r: &mut Reader, wire: &mut v3::Cluster) -> OriginalDestination {
    let mut config = match wire.lb_config.take() {
        Some(LbConfig::OriginalDstLbConfig(config)) => config,
        other => {
            wire.lb_config = other;
            return OriginalDestination::default();
        }
    };
    let name = take(&mut config.http_header_name);
    let read = OriginalDestination {
        port_override: config
            .upstream_port_override
            .take()
            .map(|port| read_port(r, "upstream_port_override", port.value)),
        header: take(&mut config.use_http_header).then(|| {
            if name.is_empty() {
                "x-envoy-original-dst-host".to_owned()
            } else {
                name.to_ascii_lowercase()
            }
        }),
    };
    r.within("original_dst_lb_config", |r| {
        r.finish(config, Unread::REFUSED)
    });
    read
}

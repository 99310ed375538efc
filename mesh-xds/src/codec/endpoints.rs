//! `EndpointSet` ⇄ `envoy.config.endpoint.v3.ClusterLoadAssignment`.

use std::{mem::take, net::IpAddr};

use mesh_core::dataplane::{
    Endpoint, EndpointAddress, EndpointHealth, EndpointSet, LocalityEndpoints, WorkloadTag,
};

use super::{
    metadata::{ISTIO, MetadataReader, MetadataWriter, TLS_LABELS, labels, read_labels, text},
    reader::{Reader, Unread},
    scalar::{
        address, host_and_port, locality, number, read_host_and_port, read_locality, socket_address,
    },
};
use crate::proto::{core, endpoint as v3};

pub(super) fn encode(value: &EndpointSet) -> v3::ClusterLoadAssignment {
    v3::ClusterLoadAssignment {
        cluster_name: value.name.to_string(),
        endpoints: value.localities.iter().map(locality_endpoints).collect(),
        ..Default::default()
    }
}

pub(super) fn decode(r: &mut Reader, mut wire: v3::ClusterLoadAssignment) -> EndpointSet {
    let read = EndpointSet {
        name: take(&mut wire.cluster_name).into(),
        localities: r.each(
            "endpoints",
            take(&mut wire.endpoints),
            read_locality_endpoints,
        ),
    };
    let mut policy = wire.policy.take().unwrap_or_default();
    // Dropping requests on purpose is not ours yet; how soon priorities spill over is tuning.
    let drops = take(&mut policy.drop_overloads);
    if !drops.is_empty() {
        r.ignore("policy.drop_overloads", "is not supported");
    }
    r.within("policy", |r| r.finish(policy, Unread::IGNORED));
    r.finish(wire, Unread::REFUSED);
    read
}

fn locality_endpoints(value: &LocalityEndpoints) -> v3::LocalityLbEndpoints {
    v3::LocalityLbEndpoints {
        locality: Some(locality(&value.locality)),
        load_balancing_weight: if value.weight > 0 {
            number(value.weight)
        } else {
            None
        },
        priority: value.priority,
        lb_endpoints: value.endpoints.iter().map(endpoint).collect(),
        ..Default::default()
    }
}

fn read_locality_endpoints(r: &mut Reader, mut wire: v3::LocalityLbEndpoints) -> LocalityEndpoints {
    let read = LocalityEndpoints {
        locality: read_locality(wire.locality.take().unwrap_or_default()),
        weight: wire.load_balancing_weight.take().unwrap_or_default().value,
        priority: take(&mut wire.priority),
        endpoints: r
            .each("lb_endpoints", take(&mut wire.lb_endpoints), read_endpoint)
            .into_iter()
            .flatten()
            .collect(),
    };
    r.finish(wire, Unread::RefusedExcept(&["metadata", "proximity"]));
    read
}

fn endpoint(value: &Endpoint) -> v3::LbEndpoint {
    let mut metadata = MetadataWriter::default();
    if !value.tls_labels.is_empty() {
        metadata.put_all(TLS_LABELS, labels(&value.tls_labels));
    }
    if let Some(workload) = &value.workload {
        metadata.put(ISTIO, "workload", text(workload.to_string()));
    }
    let socket = match &value.address {
        EndpointAddress::Socket(address) => socket_address(*address),
        EndpointAddress::Dns(name, port) => host_and_port(name.clone(), *port),
    };
    v3::LbEndpoint {
        health_status: match value.health {
            EndpointHealth::Healthy => core::HealthStatus::Healthy,
            EndpointHealth::Unhealthy => core::HealthStatus::Unhealthy,
            EndpointHealth::Draining => core::HealthStatus::Draining,
        }
        .into(),
        metadata: metadata.finish(),
        load_balancing_weight: number(value.weight),
        host_identifier: Some(v3::lb_endpoint::HostIdentifier::Endpoint(v3::Endpoint {
            address: Some(address(socket)),
            ..Default::default()
        })),
    }
}

fn read_endpoint(r: &mut Reader, mut wire: v3::LbEndpoint) -> Option<Endpoint> {
    let Some(v3::lb_endpoint::HostIdentifier::Endpoint(mut inner)) = wire.host_identifier.take()
    else {
        r.refuse("endpoint", "is missing");
        return None;
    };
    let address = r.within("endpoint", |r| {
        let read = read_host_and_port(r, inner.address.take());
        // Health checks are not ours yet, and names are for people.
        r.finish(inner, Unread::IgnoredExcept(&["additional_addresses"]));
        read
    });
    let mut metadata = MetadataReader::new(wire.metadata.take());
    let tls_labels = read_labels(metadata.take_all(TLS_LABELS));
    let workload = metadata
        .take_text(ISTIO, "workload")
        .and_then(|text| WorkloadTag::parse(&text));
    metadata.finish(r);
    let (host, port) = address?;
    Some(Endpoint {
        address: match host.parse::<IpAddr>() {
            Ok(ip) => EndpointAddress::Socket((ip, port).into()),
            Err(_) => EndpointAddress::Dns(host, port),
        },
        weight: wire.load_balancing_weight.map_or(1, |weight| weight.value),
        health: read_health(wire.health_status),
        tls_labels,
        workload,
    })
}

fn read_health(wire: i32) -> EndpointHealth {
    use core::HealthStatus;
    match HealthStatus::try_from(wire) {
        Ok(HealthStatus::Unhealthy | HealthStatus::Timeout) => EndpointHealth::Unhealthy,
        Ok(HealthStatus::Draining) => EndpointHealth::Draining,
        _ => EndpointHealth::Healthy,
    }
}

//! How a cluster is called: what DestinationRules say, over Istio's defaults.

use std::time::Duration;

use crate::{
    dataplane::{
        Balancing, CircuitLimits, Cluster, HashPolicy, HashTable, OutlierDetection,
        UpstreamProtocol,
    },
    mesh::{self, CallPolicy, HashKey},
    name::AppProtocol,
};

/// Sets what a rule says about choosing and sparing instances.
pub(super) fn apply(cluster: &mut Cluster, policy: &CallPolicy, protocol: AppProtocol) {
    cluster.protocol = upstream_protocol(protocol);
    if let Some(choice) = policy.balancing.as_ref().and_then(balancing) {
        cluster.balancing = choice;
    }
    if let Some(pool) = &policy.pool {
        apply_pool(cluster, pool, protocol);
    }
    if let Some(outlier) = &policy.outlier {
        cluster.outlier = Some(outlier_detection(outlier));
        cluster.panic_threshold = outlier.min_health_percent;
    }
}

/// What instances of a port speak.
pub(super) fn upstream_protocol(protocol: AppProtocol) -> UpstreamProtocol {
    match protocol {
        AppProtocol::Auto => UpstreamProtocol::UseDownstream,
        _ if protocol.is_http2() => UpstreamProtocol::Http2,
        _ => UpstreamProtocol::Http1,
    }
}

/// Sets the most an application is given by its own proxy. What instances speak is for callers to
/// decide.
pub(super) fn apply_inbound_pool(cluster: &mut Cluster, pool: &mesh::ConnectionPool) {
    let protocol = cluster.protocol;
    apply_pool(cluster, pool, AppProtocol::Tcp);
    if !pool.use_client_protocol {
        cluster.protocol = protocol;
    }
}

fn apply_pool(cluster: &mut Cluster, pool: &mesh::ConnectionPool, protocol: AppProtocol) {
    if let Some(limit) = pool.connect_timeout {
        cluster.connect_timeout = limit;
    }
    cluster.limits = CircuitLimits {
        max_connections: pool.max_connections,
        max_pending_requests: pool.max_pending_requests,
        max_requests: pool.max_requests,
        max_retries: pool.max_retries,
    };
    cluster.max_requests_per_connection = pool.max_requests_per_connection;
    cluster.idle_timeout = pool.http_idle_timeout;
    if pool.use_client_protocol {
        cluster.protocol = UpstreamProtocol::UseDownstream;
    } else if protocol.is_http() && pool.upgrade_to_http2 == Some(true) {
        cluster.protocol = UpstreamProtocol::Http2;
    }
}

/// None where the caller chooses: then it is the way instances are found that says so.
fn balancing(written: &mesh::Balancing) -> Option<Balancing> {
    Some(match written {
        mesh::Balancing::Random => Balancing::Random,
        mesh::Balancing::RoundRobin => Balancing::RoundRobin,
        mesh::Balancing::LeastRequest => Balancing::LeastRequest { choices: 2 },
        mesh::Balancing::Passthrough => return None,
        mesh::Balancing::Hash { table, .. } => match *table {
            mesh::HashTable::Ring(size) => Balancing::RingHash(HashTable { size }),
            mesh::HashTable::Maglev(size) => Balancing::Maglev(HashTable { size }),
        },
    })
}

/// What keeps requests on one instance.
pub(super) fn hash_policy(balancing: &mesh::Balancing) -> Option<HashPolicy> {
    let mesh::Balancing::Hash { key, .. } = balancing else {
        return None;
    };
    Some(match key.clone() {
        HashKey::Header(name) => HashPolicy::Header(name.to_ascii_lowercase()),
        HashKey::Cookie { name, path, ttl } => HashPolicy::Cookie { name, path, ttl },
        HashKey::SourceIp => HashPolicy::SourceIp,
        HashKey::QueryParameter(name) => HashPolicy::QueryParameter(name),
    })
}

/// What is not given keeps Envoy's default, except that gateway errors do not count by themselves.
fn outlier_detection(written: &mesh::OutlierDetection) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: written.consecutive_5xx.unwrap_or(5),
        consecutive_gateway_errors: written.consecutive_gateway_errors.unwrap_or(0),
        consecutive_local_origin_failures: written.consecutive_local_origin_failures.unwrap_or(5),
        split_local_origin: written.split_local_origin,
        interval: written.interval.unwrap_or(Duration::from_secs(10)),
        base_ejection: written.base_ejection.unwrap_or(Duration::from_secs(30)),
        max_ejection_percent: written.max_ejection_percent.unwrap_or(10),
    }
}

//! How a cluster is called: what DestinationRules say, over Istio's defaults.

use std::time::Duration;

use crate::{
    dataplane::{
        Balancing, CircuitLimits, Cluster, Fraction, HashPolicy, HashTable, Http2Keepalive,
        OutlierDetection, ProxyProtocol, RetryBudget, SlowStart, TcpKeepalive, UpstreamProtocol,
    },
    mesh::{self, CallPolicy, HashKey, MeshDefaults},
    name::AppProtocol,
};

/// Sets what a rule says about choosing and sparing instances.
pub(super) fn apply(
    cluster: &mut Cluster,
    policy: &CallPolicy,
    protocol: AppProtocol,
    defaults: &MeshDefaults,
) {
    cluster.protocol = upstream_protocol(protocol);
    if let Some(choice) = policy.balancing().and_then(balancing) {
        cluster.balancing = choice;
    }
    let load = policy.load.as_ref();
    cluster.slow_start = load
        .and_then(|load| load.warmup)
        .filter(|_| {
            matches!(
                cluster.balancing,
                Balancing::RoundRobin | Balancing::LeastRequest { .. }
            )
        })
        .map(|warmup| SlowStart {
            window: warmup.window,
            aggression: warmup.aggression,
            start: Fraction::per_million(warmup.start.parts()),
        });
    let pool = policy.pool.as_ref();
    apply_pool(cluster, pool, defaults);
    cluster.protocol = match pool {
        Some(pool) if pool.use_client_protocol => UpstreamProtocol::UseDownstream,
        pool if is_upgraded(pool, protocol, defaults) => UpstreamProtocol::Http2,
        _ => cluster.protocol,
    };
    if cluster.protocol == UpstreamProtocol::Http1 {
        (cluster.max_concurrent_streams, cluster.http2_keepalive) = (None, None);
    }
    cluster.limits.retry_budget = policy.retry_budget.map(|budget| RetryBudget {
        share: Fraction::per_million(budget.share.parts()),
        min_concurrency: budget.min_concurrency,
    });
    cluster.proxy_protocol = policy.proxy_protocol.map(|form| match form {
        mesh::ProxyProtocol::V1 => ProxyProtocol::V1,
        mesh::ProxyProtocol::V2 => ProxyProtocol::V2,
    });
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

/// Sets the most an application is given by its own proxy. Whether instances are called over HTTP/2
/// is for callers to decide.
pub(super) fn apply_inbound_pool(
    cluster: &mut Cluster,
    pool: Option<&mesh::ConnectionPool>,
    defaults: &MeshDefaults,
) {
    apply_pool(cluster, pool, defaults);
    if pool.is_some_and(|pool| pool.use_client_protocol) {
        cluster.protocol = UpstreamProtocol::UseDownstream;
    }
}

/// Whether requests that came over HTTP/1.1 go on over HTTP/2. Whoever says so of a destination
/// knows that it speaks HTTP; the mesh's default is for ports that are declared to.
fn is_upgraded(
    pool: Option<&mesh::ConnectionPool>,
    protocol: AppProtocol,
    defaults: &MeshDefaults,
) -> bool {
    match pool.and_then(|pool| pool.upgrade_to_http2) {
        Some(upgraded) => upgraded && (protocol.is_http() || protocol == AppProtocol::Auto),
        None => defaults.upgrade_to_http2 && protocol.is_http(),
    }
}

/// Sets the most a destination is given. Probes are the mesh's where a pool does not say; anything
/// else of the pool in effect replaces what held before.
pub(super) fn apply_pool(
    cluster: &mut Cluster,
    pool: Option<&mesh::ConnectionPool>,
    defaults: &MeshDefaults,
) {
    let own = pool.and_then(|pool| pool.keepalive);
    cluster.tcp_keepalive = match (own, defaults.keepalive) {
        (None, None) => None,
        (own, base) => {
            let (own, base) = (own.unwrap_or_default(), base.unwrap_or_default());
            Some(TcpKeepalive {
                probes: own.probes.or(base.probes),
                time: own.time.or(base.time),
                interval: own.interval.or(base.interval),
            })
        }
    };
    let Some(pool) = pool else {
        return;
    };
    if let Some(limit) = pool.connect_timeout {
        cluster.connect_timeout = limit;
    }
    cluster.limits = CircuitLimits {
        max_connections: pool.max_connections,
        max_pending_requests: pool.max_pending_requests,
        max_requests: pool.max_requests,
        max_retries: pool.max_retries,
        retry_budget: None,
    };
    cluster.max_requests_per_connection = pool.max_requests_per_connection;
    cluster.idle_timeout = pool.http_idle_timeout;
    cluster.max_connection_duration = pool.max_connection_duration;
    cluster.max_concurrent_streams = pool.max_concurrent_streams;
    cluster.http2_keepalive = pool.http2_keepalive.map(|pings| Http2Keepalive {
        interval: pings.interval,
        timeout: pings.timeout,
    });
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
        HashKey::Cookie {
            name,
            path,
            ttl,
            attributes,
        } => HashPolicy::Cookie {
            name,
            path,
            ttl,
            attributes,
        },
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

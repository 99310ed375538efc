//! From the written DestinationRule to what it means.

use std::collections::BTreeMap;

use super::{
    Balancing, CallPolicy, Certificate, ClientTls, ConnectionPool, DestinationPolicy, HashKey,
    HashTable, OutlierDetection, PortPolicies, Roots, Subset, TlsNames,
};
use crate::{
    config::{
        Problem, Resource,
        istio::{self, ClientTlsMode, H2UpgradePolicy, SimpleBalancing},
    },
    mesh::{Exports, MeshDefaults, findings::Findings},
};

/// What a DestinationRule means.
pub(in crate::mesh) fn destination_policy(
    resource: &Resource,
    written: &istio::DestinationRule,
    defaults: &MeshDefaults,
) -> (Option<DestinationPolicy>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let namespace = &resource.reference.namespace;
    let Some(host) = findings.host("spec.host", &written.host) else {
        return (None, findings.conclude(()).1);
    };
    let mut subsets = BTreeMap::new();
    for (i, subset) in written.subsets.iter().enumerate() {
        let field = format!("spec.subsets[{i}]");
        if subset.name.is_empty() {
            findings.error(&format!("{field}.name"), "is missing");
        }
        let policy = port_policies(
            &format!("{field}.trafficPolicy"),
            &subset.traffic_policy,
            &mut findings,
        );
        let labels = subset.labels.clone();
        let meaning = Subset { labels, policy };
        if subsets.insert((&*subset.name).into(), meaning).is_some() {
            let reason = format!("subset {:?} is given twice", subset.name);
            findings.error(&format!("{field}.name"), reason);
        }
    }
    let policy = port_policies("spec.trafficPolicy", &written.traffic_policy, &mut findings);
    findings.conclude(DestinationPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        host: defaults.in_full(&host, namespace),
        exports: Exports::of(&written.export_to, namespace),
        clients: written
            .workload_selector
            .as_ref()
            .map(|s| s.match_labels.clone()),
        subsets,
        policy,
    })
}

fn port_policies(
    field: &str,
    written: &istio::TrafficPolicy,
    findings: &mut Findings<'_>,
) -> PortPolicies {
    let mut ports = BTreeMap::new();
    for (i, port) in written.port_level_settings.iter().enumerate() {
        let field = format!("{field}.portLevelSettings[{i}]");
        if port.port.number == 0 {
            let at = format!("{field}.port.number");
            findings.error(&at, "a port is between 1 and 65535");
        }
        let policy = CallPolicy {
            balancing: balancing(&field, port.load_balancer.as_ref(), findings),
            pool: pool(
                &format!("{field}.connectionPool"),
                port.connection_pool.as_ref(),
                findings,
            ),
            outlier: outlier(&field, port.outlier_detection.as_ref(), findings),
            tls: tls(&field, port.tls.as_ref(), findings),
        };
        ports.insert(port.port.number, policy);
    }
    PortPolicies {
        every: CallPolicy {
            balancing: balancing(field, written.load_balancer.as_ref(), findings),
            pool: pool(
                &format!("{field}.connectionPool"),
                written.connection_pool.as_ref(),
                findings,
            ),
            outlier: outlier(field, written.outlier_detection.as_ref(), findings),
            tls: tls(field, written.tls.as_ref(), findings),
        },
        ports,
    }
}

fn balancing(
    field: &str,
    written: Option<&istio::LoadBalancer>,
    findings: &mut Findings<'_>,
) -> Option<Balancing> {
    let written = written?;
    let field = format!("{field}.loadBalancer");
    let Some(hash) = &written.consistent_hash else {
        return match written.simple? {
            SimpleBalancing::Unspecified => None,
            SimpleBalancing::LeastConn | SimpleBalancing::LeastRequest => {
                Some(Balancing::LeastRequest)
            }
            SimpleBalancing::Random => Some(Balancing::Random),
            SimpleBalancing::Passthrough => Some(Balancing::Passthrough),
            SimpleBalancing::RoundRobin => Some(Balancing::RoundRobin),
        };
    };
    if written.simple.is_some() {
        findings.error(&field, "only one of simple, consistentHash is allowed");
    }
    let field = format!("{field}.consistentHash");
    let mut keys: Vec<HashKey> = Vec::new();
    keys.extend(hash.http_header_name.clone().map(HashKey::Header));
    keys.extend(hash.http_cookie.as_ref().map(|cookie| HashKey::Cookie {
        name: cookie.name.clone(),
        path: cookie.path.clone(),
        ttl: cookie.ttl.map(|ttl| ttl.0),
    }));
    keys.extend(hash.use_source_ip.then_some(HashKey::SourceIp));
    keys.extend(
        hash.http_query_parameter_name
            .clone()
            .map(HashKey::QueryParameter),
    );
    if keys.len() != 1 {
        findings.error(
            &field,
            "exactly one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName is needed",
        );
    }
    let table = match (&hash.maglev, &hash.ring_hash) {
        (Some(_), Some(_)) => {
            findings.error(&field, "only one of ringHash, maglev is allowed");
            HashTable::Ring(1024)
        }
        (Some(maglev), None) => HashTable::Maglev(maglev.table_size.unwrap_or(65_537)),
        (None, ring) => {
            let size = ring.as_ref().and_then(|ring| ring.minimum_ring_size);
            HashTable::Ring(size.or(hash.minimum_ring_size).unwrap_or(1024))
        }
    };
    let (HashTable::Ring(size) | HashTable::Maglev(size)) = table;
    if size == 0 || size > MAX_HASH_TABLE {
        findings.error(&field, format!("a table has 1 to {MAX_HASH_TABLE} slots"));
    }
    let key = keys.pop()?;
    Some(Balancing::Hash { key, table })
}

/// Envoy's largest ring and Maglev table, in slots.
const MAX_HASH_TABLE: u64 = 8 << 20;

/// What limits of this field mean; none where there are none.
pub(in crate::mesh) fn pool(
    field: &str,
    written: Option<&istio::ConnectionPool>,
    findings: &mut Findings<'_>,
) -> Option<ConnectionPool> {
    let written = written?;
    // Zero cannot be told from nothing in Istio's API: it means no limit.
    let mut limit = |name: &str, value: Option<i32>| match value.map(u32::try_from) {
        None | Some(Ok(0)) => None,
        Some(Ok(limit)) => Some(limit),
        Some(Err(_)) => {
            findings.error(&format!("{field}.{name}"), "is negative");
            None
        }
    };
    let (tcp, http) = (&written.tcp, &written.http);
    Some(ConnectionPool {
        max_connections: limit("tcp.maxConnections", tcp.max_connections),
        connect_timeout: tcp.connect_timeout.map(|t| t.0),
        max_pending_requests: limit(
            "http.http1MaxPendingRequests",
            http.http1_max_pending_requests,
        ),
        max_requests: limit("http.http2MaxRequests", http.http2_max_requests),
        max_requests_per_connection: limit(
            "http.maxRequestsPerConnection",
            http.max_requests_per_connection,
        ),
        max_retries: limit("http.maxRetries", http.max_retries),
        http_idle_timeout: http.idle_timeout.or(tcp.idle_timeout).map(|t| t.0),
        tcp_idle_timeout: tcp.idle_timeout.map(|t| t.0),
        upgrade_to_http2: match http.h2_upgrade_policy {
            H2UpgradePolicy::Default => None,
            H2UpgradePolicy::DoNotUpgrade => Some(false),
            H2UpgradePolicy::Upgrade => Some(true),
        },
        use_client_protocol: http.use_client_protocol,
    })
}

fn outlier(
    field: &str,
    written: Option<&istio::OutlierDetection>,
    findings: &mut Findings<'_>,
) -> Option<OutlierDetection> {
    let written = written?;
    let field = format!("{field}.outlierDetection");
    let deprecated = written.consecutive_errors.map(u32::try_from);
    if deprecated.is_some() {
        let at = format!("{field}.consecutiveErrors");
        findings.warn(&at, "is deprecated");
        findings.advise("use consecutive5xxErrors or consecutiveGatewayErrors");
    }
    let mut percent = |name: &str, value: Option<i32>| {
        let percent = u8::try_from(value?).ok().filter(|percent| *percent <= 100);
        if percent.is_none() {
            findings.error(
                &format!("{field}.{name}"),
                "is no percentage: expected 0 to 100",
            );
        }
        percent
    };
    Some(OutlierDetection {
        consecutive_5xx: written.consecutive_5xx_errors,
        consecutive_gateway_errors: written
            .consecutive_gateway_errors
            .or_else(|| deprecated.and_then(Result::ok)),
        split_local_origin: written.split_external_local_origin_errors,
        consecutive_local_origin_failures: written.consecutive_local_origin_failures,
        interval: written.interval.map(|t| t.0),
        base_ejection: written.base_ejection_time.map(|t| t.0),
        max_ejection_percent: percent("maxEjectionPercent", written.max_ejection_percent),
        min_health_percent: percent("minHealthPercent", written.min_health_percent).unwrap_or(0),
    })
}

fn tls(
    field: &str,
    written: Option<&istio::ClientTlsSettings>,
    findings: &mut Findings<'_>,
) -> Option<ClientTls> {
    let written = written?;
    let field = format!("{field}.tls");
    let names = TlsNames {
        sni: Some(written.sni.clone()).filter(|sni| !sni.is_empty()),
        subject_alt_names: written.subject_alt_names.clone(),
    };
    let credential = &written.credential_name;
    let by_file = [
        &written.client_certificate,
        &written.private_key,
        &written.ca_certificates,
    ];
    if !credential.is_empty() && by_file.iter().any(|file| !file.is_empty()) {
        let at = format!("{field}.credentialName");
        findings.error(&at, "files are given too: one of both is allowed");
    }
    let roots = match (&**credential, &*written.ca_certificates) {
        ("", "") => None,
        ("", file) => Some(Roots::File(file.into())),
        (credential, _) => Some(Roots::Credential(credential.into())),
    };
    let own = |certificate| ClientTls::Own {
        certificate,
        roots,
        names: names.clone(),
        insecure: written.insecure_skip_verify.unwrap_or(false),
    };
    Some(match written.mode {
        ClientTlsMode::Disable => ClientTls::Off,
        ClientTlsMode::IstioMutual => {
            if !credential.is_empty() || by_file.iter().any(|file| !file.is_empty()) {
                findings.error(&field, "ISTIO_MUTUAL uses the mesh's own certificates");
                findings.advise("leave certificates away, or use MUTUAL");
            }
            ClientTls::Mesh(names)
        }
        ClientTlsMode::Simple => own(None),
        ClientTlsMode::Mutual => own(Some(match &**credential {
            "" => {
                if written.client_certificate.is_empty() || written.private_key.is_empty() {
                    findings.error(&field, "MUTUAL needs clientCertificate and privateKey");
                    findings.advise("or a credentialName");
                }
                Certificate::Files {
                    certificate: written.client_certificate.clone(),
                    key: written.private_key.clone(),
                }
            }
            credential => Certificate::Credential(credential.into()),
        })),
    })
}

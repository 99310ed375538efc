//! The most a destination is given at once, and when an instance is left out.

use std::time::Duration;

use crate::{
    config::istio::{self, H2UpgradePolicy},
    mesh::{
        destination::{ConnectionPool, Http2Keepalive, OutlierDetection, TcpKeepalive},
        findings::Findings,
    },
};

/// The most a destination is given at once.
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
    let streams = limit("http.maxConcurrentStreams", http.max_concurrent_streams);
    let connections = limit("tcp.maxConnections", tcp.max_connections);
    let waiting = limit(
        "http.http1MaxPendingRequests",
        http.http1_max_pending_requests,
    );
    let requests = limit("http.http2MaxRequests", http.http2_max_requests);
    let per_connection = limit(
        "http.maxRequestsPerConnection",
        http.max_requests_per_connection,
    );
    let retries = limit("http.maxRetries", http.max_retries);
    if streams.is_some() {
        let ours = "is planned and told to proxies, but those of this mesh do not follow it yet";
        findings.warn(&format!("{field}.http.maxConcurrentStreams"), ours);
    }
    let probes = tcp.tcp_keepalive.as_ref();
    let probes =
        probes.map(|probes| keepalive(&format!("{field}.tcp.tcpKeepalive"), probes, findings));
    let pings = http.http2_keep_alive.as_ref();
    let pings = pings.and_then(|pings| http2_keepalive(field, pings, findings));
    Some(ConnectionPool {
        max_connections: connections,
        connect_timeout: tcp.connect_timeout.map(|t| t.0),
        max_pending_requests: waiting,
        max_requests: requests,
        max_requests_per_connection: per_connection,
        max_retries: retries,
        http_idle_timeout: http.idle_timeout.or(tcp.idle_timeout).map(|t| t.0),
        tcp_idle_timeout: tcp.idle_timeout.map(|t| t.0),
        upgrade_to_http2: match http.h2_upgrade_policy {
            H2UpgradePolicy::Default => None,
            H2UpgradePolicy::DoNotUpgrade => Some(false),
            H2UpgradePolicy::Upgrade => Some(true),
        },
        use_client_protocol: http.use_client_protocol,
        max_concurrent_streams: streams,
        http2_keepalive: pings,
        max_connection_duration: tcp.max_connection_duration.map(|t| t.0),
        keepalive: probes,
    })
}

/// Probes as they are written: what is not given, or zero, keeps what holds otherwise. Systems count
/// in whole seconds of at most 32767, and at most 127 probes.
pub(in crate::mesh) fn keepalive(
    field: &str,
    written: &istio::TcpKeepalive,
    findings: &mut Findings<'_>,
) -> TcpKeepalive {
    let mut span = |name: &str, span: Option<crate::config::Span>| {
        let span = span.map(|t| t.0).filter(|t| !t.is_zero())?;
        if !(1..=32_767).contains(&span.as_secs()) {
            findings.error(field, format!("{name}: is not between 1s and 32767s"));
        }
        Some(span)
    };
    let time = span("time", written.time);
    let interval = span("interval", written.interval);
    let probes = written.probes.filter(|count| *count > 0);
    if probes.is_some_and(|count| count > 127) {
        findings.error(field, "probes: are more than 127");
    }
    TcpKeepalive {
        probes,
        time,
        interval,
    }
}

/// Pings need both a pace and a patience; zero of either is none.
fn http2_keepalive(
    field: &str,
    written: &istio::Http2KeepAlive,
    findings: &mut Findings<'_>,
) -> Option<Http2Keepalive> {
    let given = |span: Option<crate::config::Span>| span.map(|t| t.0).filter(|t| !t.is_zero());
    let pings = Http2Keepalive {
        interval: given(written.interval)?,
        timeout: given(written.timeout)?,
    };
    if pings.timeout < Duration::from_millis(1) || pings.interval < Duration::from_millis(1) {
        let at = format!("{field}.http.http2KeepAlive");
        findings.error(&at, "is shorter than a millisecond");
    }
    Some(pings)
}

/// When an instance is left out for a while.
pub(in crate::mesh) fn outlier(
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

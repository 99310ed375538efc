use std::time::SystemTime;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Pages;
use crate::{
    ProxyHandle,
    telemetry::{merge, prometheus},
};

/// A page, ready to send.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

const INDEX: &str = "\
/ready             whether this proxy carries traffic
/config_dump       the plan in force, and what of it was refused
/listeners         where it listens
/clusters          every instance it may call
/certs             its own certificate and the roots it trusts
/stats/prometheus  metrics
/server_info       which proxy this is
";

/// The page of a path.
pub(super) async fn answer(proxy: &ProxyHandle, pages: Pages, path: &str) -> Page {
    match (pages, path) {
        (Pages::All, "/ready") | (Pages::Health, "/healthz/ready") => ready(proxy),
        (Pages::All | Pages::Metrics, "/stats/prometheus") => metrics(proxy).await,
        (Pages::All, "/") => text(StatusCode::OK, INDEX),
        (Pages::All, "/config_dump") => page(config_dump(proxy)),
        (Pages::All, "/listeners") => page(listeners(proxy)),
        (Pages::All, "/clusters") => page(clusters(proxy).await),
        (Pages::All, "/certs") => page(certs(proxy)),
        (Pages::All, "/server_info") => page(json!({ "node": proxy.node() })),
        _ => text(StatusCode::NOT_FOUND, "there is no such page\n"),
    }
}

fn ready(proxy: &ProxyHandle) -> Page {
    match (proxy.is_draining(), proxy.live().generation) {
        (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n"),
        (false, 0) => text(StatusCode::SERVICE_UNAVAILABLE, "INITIALIZING\n"),
        (false, _) => text(StatusCode::OK, "LIVE\n"),
    }
}

async fn metrics(proxy: &ProxyHandle) -> Page {
    let reports = proxy.reports().await;
    let connections: usize = reports.iter().map(|report| report.connections).sum();
    let refused = reports.iter().map(|report| report.refused).sum();
    let failures = reports.iter().map(|report| report.handshake_failures).sum();
    let live = proxy.live();
    let denied = reports.iter().map(|report| report.denied).sum();
    let limited = reports.iter().map(|report| report.limited).sum();
    let on_trial = reports.iter().map(|report| report.limited_on_trial).sum();
    let (series, tcp): (Vec<_>, Vec<_>) = reports
        .into_iter()
        .map(|report| (report.series, report.tcp))
        .unzip();
    let mut body = prometheus::text(&merge(series), &merge(tcp));
    let mut gauge = |name, value| prometheus::gauge(&mut body, name, value);
    gauge("mesh_downstream_connections_active", connections as u64);
    gauge("mesh_downstream_connections_refused", refused);
    gauge("mesh_downstream_connections_denied", denied);
    gauge("mesh_downstream_handshake_failures", failures);
    gauge("mesh_requests_limited", limited);
    gauge("mesh_requests_limited_on_trial", on_trial);
    gauge("mesh_config_generation", live.generation);
    gauge("mesh_config_refusals", live.refusals.len() as u64);
    gauge(
        "mesh_access_log_batches_dropped",
        proxy.dropped_log_batches(),
    );
    Page {
        status: StatusCode::OK,
        content_type: "text/plain; version=0.0.4",
        body,
    }
}

fn config_dump(proxy: &ProxyHandle) -> Value {
    let live = proxy.live();
    json!({
        "generation": live.generation,
        "in_force": *live.snapshot,
        "refused": live.refusals,
    })
}

fn listeners(proxy: &ProxyHandle) -> Value {
    let listening = proxy.listening();
    listening
        .iter()
        .map(|(name, address)| json!({ "name": name, "address": address }))
        .collect()
}

async fn clusters(proxy: &ProxyHandle) -> Value {
    let hosts: Vec<_> = proxy
        .reports()
        .await
        .into_iter()
        .enumerate()
        .map(|(worker, report)| json!({ "worker": worker, "hosts": report.hosts }))
        .collect();
    Value::Array(hosts)
}

/// Certificates as they are public anyway: never a key.
fn certs(proxy: &ProxyHandle) -> Value {
    let Some(credentials) = proxy.credentials().map(|reader| reader.current()) else {
        return json!({ "own": null });
    };
    let facts = credentials.facts();
    let roots = credentials.bundles().iter().map(|(trust_domain, roots)| {
        json!({ "trust_domain": trust_domain.as_str(), "certificates": roots.len() })
    });
    json!({
        "own": {
            "identity": credentials.identity().as_str(),
            "serial": facts.serial,
            "valid_from": time(facts.not_before),
            "valid_until": time(facts.not_after),
            "uris": facts.uris,
        },
        "roots": roots.collect::<Vec<_>>(),
    })
}

fn time(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| time.to_string())
}

fn page(value: Value) -> Page {
    let body = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
    Page {
        status: StatusCode::OK,
        content_type: "application/json",
        body,
    }
}

fn text(status: StatusCode, body: &str) -> Page {
    Page {
        status,
        content_type: "text/plain; charset=utf-8",
        body: body.into(),
    }
}

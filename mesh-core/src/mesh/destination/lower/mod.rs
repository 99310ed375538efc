//! From the written DestinationRule to what it means.

mod load;
mod pool;
mod tls;

pub(in crate::mesh) use load::{locality_policy, zone_aware_policy};
pub(in crate::mesh) use pool::{keepalive, outlier, pool};

use std::collections::BTreeMap;

use super::{
    CallPolicy, DestinationPolicy, PortPolicies, ProxyProtocol, RetryBudget, Subset, Tunnel,
};
use crate::{
    config::{Problem, Resource, istio},
    mesh::{Exports, MeshDefaults, findings::Findings},
};
use load::load_policy;
use tls::tls;

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
        exports: Exports::or(
            &written.export_to,
            &defaults.exports.destinations,
            namespace,
        ),
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
            load: load_policy(&field, port.load_balancer.as_ref(), findings),
            pool: pool(
                &format!("{field}.connectionPool"),
                port.connection_pool.as_ref(),
                findings,
            ),
            outlier: outlier(&field, port.outlier_detection.as_ref(), findings),
            tls: tls(&field, port.tls.as_ref(), findings),
            ..CallPolicy::default()
        };
        if ports.insert(port.port.number, policy).is_some() {
            let reason = format!("port {} is given twice", port.port.number);
            findings.error(&format!("{field}.port.number"), reason);
        }
    }
    for (name, given) in [
        ("tunnel", written.tunnel.is_some()),
        ("proxyProtocol", written.proxy_protocol.is_some()),
    ] {
        if given {
            let ours = "is planned, but proxies of this mesh refuse it yet";
            findings.warn(&format!("{field}.{name}"), ours);
        }
    }
    PortPolicies {
        every: CallPolicy {
            load: load_policy(field, written.load_balancer.as_ref(), findings),
            pool: pool(
                &format!("{field}.connectionPool"),
                written.connection_pool.as_ref(),
                findings,
            ),
            outlier: outlier(field, written.outlier_detection.as_ref(), findings),
            tls: tls(field, written.tls.as_ref(), findings),
            tunnel: tunnel(field, written.tunnel.as_ref(), findings),
            proxy_protocol: written.proxy_protocol.as_ref().map(|p| match p.version {
                istio::ProxyProtocolVersion::V1 => ProxyProtocol::V1,
                istio::ProxyProtocolVersion::V2 => ProxyProtocol::V2,
            }),
            retry_budget: retry_budget(field, written.retry_budget.as_ref(), findings),
        },
        ports,
    }
}

/// Connections are carried within another to a proxy, which connects to the target.
fn tunnel(
    field: &str,
    written: Option<&istio::Tunnel>,
    findings: &mut Findings<'_>,
) -> Option<Tunnel> {
    let written = written?;
    let field = format!("{field}.tunnel");
    let by_post = match &*written.protocol {
        "" | "CONNECT" => false,
        "POST" => true,
        other => {
            let reason = format!("{other:?} is neither CONNECT nor POST");
            findings.error(&format!("{field}.protocol"), reason);
            false
        }
    };
    let host = findings.host(&format!("{field}.targetHost"), &written.target_host);
    if host.as_ref().is_some_and(crate::name::Host::is_wildcard) {
        findings.error(&format!("{field}.targetHost"), "is a wildcard");
    }
    let port = u16::try_from(written.target_port).ok().filter(|p| *p > 0);
    if port.is_none() {
        let at = format!("{field}.targetPort");
        findings.error(&at, "a port is between 1 and 65535");
    }
    Some(Tunnel {
        by_post,
        host: host?.as_str().into(),
        port: port?,
    })
}

fn retry_budget(
    field: &str,
    written: Option<&istio::RetryBudget>,
    findings: &mut Findings<'_>,
) -> Option<RetryBudget> {
    let written = written?;
    let at = format!("{field}.retryBudget.percent");
    let usual = RetryBudget::default();
    Some(RetryBudget {
        share: match written.percent {
            Some(percent) => findings.percent(&at, percent),
            None => usual.share,
        },
        min_concurrency: written
            .min_retry_concurrency
            .unwrap_or(usual.min_concurrency),
    })
}

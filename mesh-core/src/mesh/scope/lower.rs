//! From the written Sidecar to what it means.

use std::net::IpAddr;

use super::{
    EgressHost, EgressListener, EgressNamespace, IngressEndpoint, IngressListener, OutboundMode,
    SidecarScope,
};
use crate::{
    config::{
        Problem, Resource,
        istio::{self, CaptureMode, GatewayPort, OutboundMode as WrittenMode},
    },
    mesh::{Destination, MeshDefaults, destination, findings::Findings},
    name::{AppProtocol, NamedPort},
};

/// What a Sidecar means.
pub(in crate::mesh) fn sidecar_scope(
    resource: &Resource,
    written: &istio::Sidecar,
    defaults: &MeshDefaults,
) -> (Option<SidecarScope>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let mut egress = Vec::new();
    for (i, listener) in written.egress.iter().enumerate() {
        egress.push(egress_listener(
            &format!("spec.egress[{i}]"),
            listener,
            &mut findings,
        ));
    }
    if let Some(place) = egress.iter().position(|listener| listener.port.is_none())
        && place + 1 < egress.len()
    {
        let reason =
            "has no port, and only the last listener may: it takes all ports that are left";
        findings.error(&format!("spec.egress[{place}].port"), reason);
    }
    let ingress: Vec<_> = written.ingress.iter().enumerate().collect();
    let ingress: Vec<_> = ingress
        .into_iter()
        .filter_map(|(i, written)| {
            ingress_listener(format!("spec.ingress[{i}]"), written, &mut findings)
        })
        .collect();
    for (i, listener) in ingress.iter().enumerate() {
        let same = |other: &&IngressListener| other.port.number == listener.port.number;
        if ingress[..i].iter().any(|other| same(&other)) {
            let at = format!("{}.port.number", listener.field);
            findings.error(&at, format!("port {} is given twice", listener.port.number));
        }
    }
    let policy = written.outbound_traffic_policy.as_ref();
    let proxy = policy.and_then(|policy| policy.egress_proxy.as_ref());
    let egress_proxy = proxy.and_then(|proxy| egress_proxy(proxy, defaults, &mut findings));
    let field = "spec.outboundTrafficPolicy.mode";
    let outbound = policy.and_then(|policy| outbound_mode(field, policy.mode, &mut findings));
    let pool = written.inbound_connection_pool.as_ref();
    let inbound_pool = destination::pool("spec.inboundConnectionPool", pool, &mut findings);
    let selector = written.workload_selector.as_ref().map(|s| s.labels.clone());
    findings.conclude(SidecarScope {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        selector: selector.filter(|selector| !selector.is_empty()),
        egress: (!egress.is_empty()).then(|| egress.into()),
        ingress: (!ingress.is_empty()).then(|| ingress.into()),
        inbound_pool,
        outbound,
        egress_proxy,
    })
}

/// What becomes of calls to hosts nobody declared.
pub(in crate::mesh) fn outbound_mode(
    field: &str,
    written: WrittenMode,
    findings: &mut Findings<'_>,
) -> Option<OutboundMode> {
    match written {
        WrittenMode::AllowAny => Some(OutboundMode::AllowAny),
        WrittenMode::RegistryOnly => Some(OutboundMode::RegistryOnly),
        WrittenMode::AllowAnyDynamicDns => {
            findings.error(field, "ALLOW_ANY_DYNAMIC_DNS is not supported yet");
            findings.advise("use ALLOW_ANY, or declare hosts by ServiceEntries");
            None
        }
    }
}

fn egress_listener(
    field: &str,
    written: &istio::SidecarEgress,
    findings: &mut Findings<'_>,
) -> EgressListener {
    if written.hosts.is_empty() {
        findings.error(&format!("{field}.hosts"), "at least one host is needed");
    }
    let (mut hosts, mut excluded) = (Vec::new(), Vec::new());
    for (j, text) in written.hosts.iter().enumerate() {
        let field = format!("{field}.hosts[{j}]");
        let Some((namespace, host)) = text.split_once('/') else {
            findings.error(&field, format!("{text:?} lacks a namespace"));
            findings.advise(format!(
                "write ./{text} for this namespace, */{text} for any"
            ));
            continue;
        };
        let (list, namespace) = match namespace {
            // Of no namespace: nothing is seen.
            "~" => continue,
            namespace => match namespace.strip_prefix('~') {
                None => (&mut hosts, namespace),
                Some(namespace) => (&mut excluded, namespace),
            },
        };
        let namespace = match namespace {
            "*" => EgressNamespace::Any,
            "." => EgressNamespace::Only(findings.reference().namespace.clone()),
            namespace => EgressNamespace::Only(namespace.into()),
        };
        if let Some(host) = findings.host(&field, host) {
            list.push(EgressHost { namespace, host });
        }
    }
    let port = written.port.as_ref();
    let port = port.and_then(|port| listened(&format!("{field}.port"), port, findings));
    if port.is_none() && written.port.is_none() && !written.bind.is_empty() {
        let reason = "needs a port to go with it";
        findings.error(&format!("{field}.bind"), reason);
    }
    EgressListener {
        port,
        bind: bind(&format!("{field}.bind"), &written.bind, findings),
        is_captured: written.capture_mode != CaptureMode::None,
        hosts,
        excluded,
    }
}

fn ingress_listener(
    field: String,
    written: &istio::SidecarIngress,
    findings: &mut Findings<'_>,
) -> Option<IngressListener> {
    let at = format!("{field}.port");
    let Some(port) = &written.port else {
        findings.error(&at, "is missing");
        return None;
    };
    if written.tls.is_some() {
        let reason = "not supported yet: callers would be let in without it";
        findings.error(&format!("{field}.tls"), reason);
    }
    let at_endpoint = format!("{field}.defaultEndpoint");
    if written.capture_mode == CaptureMode::None && written.default_endpoint.is_empty() {
        let reason = "is missing: callers call the proxy itself, so it must know the application";
        findings.error(&at_endpoint, reason);
    }
    let pool = written.connection_pool.as_ref();
    Some(IngressListener {
        port: listened(&at, port, findings)?,
        bind: bind(&format!("{field}.bind"), &written.bind, findings),
        is_captured: written.capture_mode != CaptureMode::None,
        endpoint: endpoint(&at_endpoint, &written.default_endpoint, findings)?,
        pool: destination::pool(&format!("{field}.connectionPool"), pool, findings),
        field,
    })
}

fn listened(field: &str, written: &GatewayPort, findings: &mut Findings<'_>) -> Option<NamedPort> {
    if written.number == 0 {
        let at = format!("{field}.number");
        findings.error(&at, "a port is between 1 and 65535");
    }
    let Some(protocol) = AppProtocol::from_name(&written.protocol) else {
        let at = format!("{field}.protocol");
        findings.error(&at, format!("unknown protocol {:?}", written.protocol));
        findings.advise("possible are HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS");
        return None;
    };
    Some(NamedPort {
        number: written.number,
        name: written.name.clone(),
        protocol,
    })
}

fn bind(field: &str, written: &str, findings: &mut Findings<'_>) -> Option<IpAddr> {
    if written.is_empty() {
        return None;
    }
    let address = written.parse();
    if address.is_err() {
        let reason = match written.starts_with("unix://") {
            true => "listening on a path is not supported yet".to_owned(),
            false => format!("{written:?} is no address"),
        };
        findings.error(field, reason);
    }
    address.ok()
}

/// `127.0.0.1:8080`, or `0.0.0.0:8080` for the workload's own address.
fn endpoint(field: &str, written: &str, findings: &mut Findings<'_>) -> Option<IngressEndpoint> {
    if written.is_empty() {
        return Some(IngressEndpoint::AsCalled);
    }
    if written.starts_with("unix://") {
        findings.error(field, "calling a path is not supported yet");
        findings.advise("let the application listen at a port, such as 127.0.0.1:8080");
        return None;
    }
    let address = written.parse::<std::net::SocketAddr>().ok();
    let known = address.filter(|address| address.port() != 0);
    match known.map(|address| (address.ip(), address.port())) {
        Some((ip, port)) if ip.is_loopback() => Some(IngressEndpoint::Loopback(port)),
        Some((ip, port)) if ip.is_unspecified() => Some(IngressEndpoint::Workload(port)),
        _ => {
            findings.error(field, format!("{written:?} is no place of the application"));
            findings.advise("possible are 127.0.0.1:PORT and 0.0.0.0:PORT");
            None
        }
    }
}

fn egress_proxy(
    written: &istio::Destination,
    defaults: &MeshDefaults,
    findings: &mut Findings<'_>,
) -> Option<Destination> {
    let field = "spec.outboundTrafficPolicy.egressProxy";
    let host = findings.host(&format!("{field}.host"), &written.host)?;
    let port = written.port.as_ref().map(|port| port.number);
    if port.is_none_or(|port| port == 0) {
        findings.error(&format!("{field}.port.number"), "is missing");
    }
    Some(Destination {
        host: defaults.in_full(&host, &findings.reference().namespace),
        subset: Some(&*written.subset)
            .filter(|subset| !subset.is_empty())
            .map(Into::into),
        port,
    })
}

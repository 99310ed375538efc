use std::{net::IpAddr, sync::Arc};

use super::{Exports, MeshDefaults, findings::Findings};
use crate::{
    config::{
        PortName, Problem, Resource, Source,
        istio::{Location, Resolution as WrittenResolution, ServiceEntry},
        kubernetes::{self, ServiceType},
    },
    name::{
        AppProtocol, Host, IpNetwork, Labels, NamedPort, ResourceRef, Selector,
        topology::{HOSTNAME, NETWORK, REGION, SUB_ZONE, ZONE},
    },
};

/// A name that can be called: a Kubernetes Service, or one host of a ServiceEntry.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Full name, as in `reviews.default.svc.cluster.local`; may be a wildcard for a ServiceEntry.
    pub host: Host,
    /// Short name, as in `reviews`: the resource's.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// The resource that declares it.
    pub reference: ResourceRef,
    /// Where that is written.
    pub source: Source,
    /// Virtual addresses, the same from every caller; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Virtual ranges of addresses, of a ServiceEntry.
    pub networks: Vec<IpNetwork>,
    /// Ports, at least one unless it is an alias.
    pub ports: Vec<ServicePort>,
    /// How its instances are found.
    pub resolution: Resolution,
    /// The workloads that are its instances; none if they are told otherwise.
    pub selector: Option<Selector>,
    /// Labels of the resource.
    pub labels: Labels,
    /// Who sees it.
    pub exports: Exports,
    /// Its instances do not belong to the mesh.
    pub is_external: bool,
    /// Identities its instances may have beside their own, of a ServiceEntry.
    pub subject_alt_names: Vec<String>,
    /// Instances that are not ready are called too.
    pub publish_not_ready: bool,
    /// Whether near instances are preferred, though none has failed.
    pub distribution: TrafficDistribution,
}

/// Whether near instances are preferred (`trafficDistribution`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TrafficDistribution {
    /// All are alike.
    #[default]
    Any,
    /// Those of the caller's zone, then of its region.
    SameZone,
    /// Those of the caller's node, then of its sub-zone, zone and region.
    SameNode,
}

impl TrafficDistribution {
    /// Istio's annotation, older than the field: there, case does not matter.
    const ANNOTATION: &'static str = "networking.istio.io/traffic-distribution";

    /// The labels by which instances are near, the most important first.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::SameZone => &[NETWORK, REGION, ZONE],
            Self::SameNode => &[NETWORK, REGION, ZONE, SUB_ZONE, HOSTNAME],
        }
    }

    /// Reads the field, else the annotation. None for a word that means nothing.
    fn read(field: &str, annotation: &str) -> Option<Self> {
        Some(match (field, &*annotation.to_ascii_lowercase()) {
            ("PreferClose" | "PreferSameZone", _) => Self::SameZone,
            ("PreferSameNode", _) => Self::SameNode,
            ("", "preferclose" | "prefersamezone") => Self::SameZone,
            ("", "prefersamenode") => Self::SameNode,
            ("", "" | "any") => Self::Any,
            _ => return None,
        })
    }
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Number, name and protocol.
    pub port: NamedPort,
    /// The port of its instances.
    pub target: PortName,
}

/// How the instances of a service are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The mesh knows them and the caller's proxy chooses.
    Instances,
    /// The mesh knows them and the caller chooses, by address (`clusterIP: None`).
    Headless,
    /// The caller knows the address (`resolution: NONE`).
    Passthrough,
    /// DNS tells: every address is an instance.
    Dns,
    /// DNS tells: one address at a time.
    DnsRoundRobin,
    /// It is another name for this host (`ExternalName`).
    Alias(Host),
}

impl Service {
    /// The port of this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port.number == number)
    }

    /// Whether Kubernetes declares it, and short names lead to it.
    pub fn is_kubernetes(&self) -> bool {
        &*self.reference.kind == "Service"
    }
}

/// What a Kubernetes Service means.
pub(super) fn of_kubernetes(
    resource: &Resource,
    written: &kubernetes::Service,
    defaults: &MeshDefaults,
) -> (Option<Service>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let spec = &written.spec;
    let ResourceRef {
        namespace, name, ..
    } = &resource.reference;
    let host = findings.host("metadata.name", &defaults.full_name(name, namespace));
    let resolution = match (spec.kind, &*spec.cluster_ip) {
        (ServiceType::ExternalName, _) => findings
            .host("spec.externalName", &spec.external_name)
            .map_or(Resolution::Passthrough, Resolution::Alias),
        (_, "None") => Resolution::Headless,
        _ => Resolution::Instances,
    };
    let written_addresses = match &spec.cluster_ips[..] {
        [] => std::slice::from_ref(&spec.cluster_ip),
        addresses => addresses,
    };
    let mut addresses = Vec::new();
    for text in written_addresses
        .iter()
        .filter(|ip| !matches!(&***ip, "" | "None"))
    {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => findings.error("spec.clusterIP", format!("{text:?} is no address")),
        }
    }
    let mut ports: Vec<ServicePort> = Vec::new();
    for (i, port) in spec.ports.iter().enumerate() {
        let field = format!("spec.ports[{i}]");
        if port.port == 0 {
            findings.error(&format!("{field}.port"), "a port is between 1 and 65535");
        }
        let protocol = AppProtocol::select(
            port.app_protocol.as_deref(),
            &port.name,
            port.port,
            port.protocol == "UDP",
        );
        if ports.iter().any(|p| {
            p.port.number == port.port
                && (p.port.protocol == AppProtocol::Udp) == (protocol == AppProtocol::Udp)
        }) {
            findings.error(
                &format!("{field}.port"),
                format!("port {} is given twice", port.port),
            );
        }
        ports.push(ServicePort {
            port: NamedPort {
                number: port.port,
                name: port.name.clone(),
                protocol,
            },
            target: port
                .target_port
                .clone()
                .unwrap_or(PortName::Number(port.port)),
        });
    }
    let exported: Vec<String> = resource
        .metadata
        .annotations
        .get("networking.istio.io/exportTo")
        .map(|to| to.split(',').map(|to| to.trim().to_owned()).collect())
        .unwrap_or_default();
    let annotations = &resource.metadata.annotations;
    let annotation = annotations.get(TrafficDistribution::ANNOTATION);
    let annotation = annotation.map_or("", String::as_str);
    not_followed(spec, &mut findings);
    let distribution = TrafficDistribution::read(&spec.traffic_distribution, annotation);
    if distribution.is_none() {
        findings.warn(
            "spec.trafficDistribution",
            "is none of PreferSameZone, PreferClose, PreferSameNode",
        );
        findings.advise("all instances are taken for alike");
    }
    let Some(host) = host else {
        return (None, findings.conclude(()).1);
    };
    findings.conclude(Service {
        host,
        name: name.clone(),
        namespace: namespace.clone(),
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        addresses,
        networks: Vec::new(),
        ports,
        resolution,
        selector: Some(spec.selector.clone()).filter(|selector| !selector.is_empty()),
        labels: resource.metadata.labels.clone(),
        exports: Exports::or(&exported, &defaults.exports.services, namespace),
        is_external: false,
        subject_alt_names: Vec::new(),
        publish_not_ready: spec.publish_not_ready_addresses,
        distribution: distribution.unwrap_or_default(),
    })
}

/// What proxies do not follow of what a Service asks for.
fn not_followed(spec: &kubernetes::ServiceSpec, findings: &mut Findings<'_>) {
    if spec.session_affinity == "ClientIP" {
        let reason = "has no effect where proxies choose instances";
        findings.warn("spec.sessionAffinity", reason);
        findings.advise("use a DestinationRule with consistentHash: {useSourceIp: true}");
    }
    if spec.internal_traffic_policy == "Local" {
        let reason = "not supported yet: instances of other nodes are called too";
        findings.warn("spec.internalTrafficPolicy", reason);
    }
}

/// What a ServiceEntry means: a service for each of its hosts.
pub(super) fn of_entry(
    resource: &Resource,
    written: &ServiceEntry,
    defaults: &MeshDefaults,
) -> (Option<Vec<Service>>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let annotations = &resource.metadata.annotations;
    let annotation = annotations.get(TrafficDistribution::ANNOTATION);
    let annotation = annotation.map_or("", String::as_str);
    if written.hosts.is_empty() {
        findings.error("spec.hosts", "at least one host is needed");
    }
    if written.ports.is_empty() {
        findings.error("spec.ports", "at least one port is needed");
    }
    if !written.endpoints.is_empty() && written.workload_selector.is_some() {
        findings.error(
            "spec.workloadSelector",
            "endpoints are given too: one of both is allowed",
        );
    }
    let resolution = match written.resolution {
        WrittenResolution::None => Resolution::Passthrough,
        WrittenResolution::Static => Resolution::Instances,
        WrittenResolution::Dns => Resolution::Dns,
        WrittenResolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        WrittenResolution::DynamicDns => {
            findings.error("spec.resolution", "DYNAMIC_DNS is not supported yet");
            Resolution::Passthrough
        }
    };
    let ports = entry_ports(written, &mut findings);
    let networks = findings.networks("spec.addresses", &written.addresses);
    let single = |network: &IpNetwork| *network == IpNetwork::host(network.address);
    let mut services = Vec::new();
    for (i, text) in written.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{i}]");
        let Some(host) = findings.host(&field, text) else {
            continue;
        };
        let by_dns = matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin);
        if host.is_wildcard() && by_dns && written.endpoints.is_empty() {
            findings.error(&field, "DNS cannot resolve a wildcard");
            findings.advise("use resolution: NONE, or give endpoints");
        }
        services.push(Service {
            host,
            name: resource.reference.name.clone(),
            namespace: resource.reference.namespace.clone(),
            reference: resource.reference.clone(),
            source: resource.source.clone(),
            addresses: networks
                .iter()
                .filter(|n| single(n))
                .map(|n| n.address)
                .collect(),
            networks: networks.iter().filter(|n| !single(n)).copied().collect(),
            ports: ports.clone(),
            resolution: resolution.clone(),
            selector: written.workload_selector.as_ref().map(|s| s.labels.clone()),
            labels: resource.metadata.labels.clone(),
            exports: Exports::or(
                &written.export_to,
                &defaults.exports.services,
                &resource.reference.namespace,
            ),
            is_external: written.location == Location::MeshExternal,
            subject_alt_names: written.subject_alt_names.clone(),
            publish_not_ready: false,
            distribution: TrafficDistribution::read("", annotation).unwrap_or_default(),
        });
    }
    findings.conclude(services)
}

fn entry_ports(written: &ServiceEntry, findings: &mut Findings<'_>) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    for (i, port) in written.ports.iter().enumerate() {
        let field = format!("spec.ports[{i}]");
        if port.number == 0 {
            findings.error(&format!("{field}.number"), "a port is between 1 and 65535");
        }
        if ports.iter().any(|p| p.port.number == port.number) {
            let reason = format!("port {} is given twice", port.number);
            findings.error(&format!("{field}.number"), reason);
        }
        let protocol = match &*port.protocol {
            "" => AppProtocol::select(None, &port.name, port.number, false),
            name => AppProtocol::from_name(name).unwrap_or_else(|| {
                findings.error(
                    &format!("{field}.protocol"),
                    format!("unknown protocol {name:?}"),
                );
                findings.advise("possible are HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO");
                AppProtocol::Tcp
            }),
        };
        ports.push(ServicePort {
            port: NamedPort {
                number: port.number,
                name: port.name.clone(),
                protocol,
            },
            target: PortName::Number(port.target_port.unwrap_or(port.number)),
        });
    }
    ports
}

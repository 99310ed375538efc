//! Where traffic enters: what Gateways mean.

use std::{net::IpAddr, sync::Arc};

use super::{Certificate, GatewayName, Roots, TrafficRules, findings::Findings};
use crate::{
    config::{
        Problem, Resource, Source,
        gateway_api::GatewayApi,
        istio::{self, ServerTlsMode, TlsProtocol},
    },
    name::{AppProtocol, Host, Labels, NamedPort, ResourceRef, Selector},
};

/// What a Gateway means: ports that certain proxies open.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// The Gateway resource.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// How VirtualServices name it.
    pub name: GatewayName,
    /// The proxies that open the ports; never empty.
    pub selector: Selector,
    /// Only those of this namespace; none for any.
    pub namespace: Option<Arc<str>>,
    /// The ports.
    pub servers: Vec<Server>,
}

/// A port, and for which hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its place in the Gateway, for explanations: `spec.servers[0]`.
    pub field: String,
    /// Its name, perhaps empty.
    pub name: String,
    /// The port and what it speaks.
    pub port: NamedPort,
    /// Whether it was declared `HTTPS`: HTTP within TLS.
    pub is_https: bool,
    /// The address to listen on; none for all.
    pub bind: Option<IpAddr>,
    /// The hosts.
    pub hosts: Vec<ServerHost>,
    /// How callers' TLS is ended, or passed on.
    pub tls: ServerTls,
}

/// A host, and whose VirtualServices may claim it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerHost {
    /// Only VirtualServices of this namespace; none for any.
    pub namespace: Option<Arc<str>>,
    /// The host.
    pub host: Host,
}

/// How callers' TLS is ended, or passed on.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerTls {
    /// There is none.
    Off {
        /// Send callers to `https` with a 301.
        https_redirect: bool,
    },
    /// Passed on by the name asked for, as `tls` routes say.
    Passthrough,
    /// Passed on by the name asked for, which names a cluster.
    AutoPassthrough,
    /// Ended here.
    End(Box<EndTls>),
}

/// How TLS is ended.
#[derive(Debug, Clone, PartialEq)]
pub struct EndTls {
    /// The certificate to show; none for the workload's own (`ISTIO_MUTUAL`).
    pub certificate: Option<Certificate>,
    /// Whether callers show one.
    pub client: ClientCertificate,
    /// Names of which a caller's certificate must carry one; empty for any.
    pub subject_alt_names: Vec<String>,
    /// The oldest version spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest version spoken.
    pub max_version: Option<TlsVersion>,
}

/// Whether callers show a certificate.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientCertificate {
    /// They are not asked.
    NotAsked,
    /// They are asked; without one they may pass.
    Optional(Roots),
    /// They must.
    Required(Roots),
    /// They must, one of the mesh.
    OfMesh,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, the oldest that is spoken.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl Gateway {
    /// Whether it comes from the Gateway API, not from Istio's.
    pub fn is_gateway_api(&self) -> bool {
        &*self.reference.group == GatewayApi::GROUP
    }

    /// Whether a proxy opens its ports.
    pub fn is_opened_by(&self, namespace: &str, labels: &Labels) -> bool {
        let here = self.namespace.as_deref();
        here.is_none_or(|only| only == namespace) && self.selector.matches(labels)
    }

    /// The hosts of `server` that `rules` may answer: every pair that overlaps, narrowed to the
    /// more specific of both.
    pub fn hosts(server: &Server, rules: &TrafficRules) -> Vec<Host> {
        let mut hosts = Vec::new();
        for open in &server.hosts {
            let namespace = open.namespace.as_ref();
            if namespace.is_some_and(|only| *only != rules.reference.namespace) {
                continue;
            }
            for host in &rules.hosts {
                let narrow = match (open.host.covers(host), host.covers(&open.host)) {
                    (true, _) => host,
                    (_, true) => &open.host,
                    _ => continue,
                };
                if !hosts.contains(narrow) {
                    hosts.push(narrow.clone());
                }
            }
        }
        hosts
    }
}

/// The ports that a proxy uses itself, and for what.
const OF_THE_PROXY: [(u16, &str); 9] = [
    (15000, "its administration"),
    (15001, "calls that its workload makes"),
    (15004, "what it was told to do"),
    (15006, "calls that its workload gets"),
    (15008, "tunnels between proxies"),
    (15020, "its metrics and its workload's probes"),
    (15021, "its readiness"),
    (15053, "its answers to names"),
    (15090, "its metrics"),
];

/// What a Gateway means.
pub(super) fn gateway(
    resource: &Resource,
    written: &istio::Gateway,
) -> (Option<Gateway>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    if written.selector.is_empty() {
        findings.error("spec.selector", "is missing: no proxy would open the ports");
        findings.advise("add selector: {istio: ingressgateway}");
    }
    if written.servers.is_empty() {
        findings.error("spec.servers", "at least one server is needed");
    }
    let servers = written.servers.iter().enumerate();
    let servers = servers
        .filter_map(|(i, written)| server(format!("spec.servers[{i}]"), written, &mut findings))
        .collect();
    let ResourceRef {
        namespace, name, ..
    } = &resource.reference;
    findings.conclude(Gateway {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        name: GatewayName::Named {
            namespace: namespace.clone(),
            name: name.clone(),
        },
        selector: written.selector.clone(),
        namespace: None,
        servers,
    })
}

fn server(field: String, written: &istio::Server, findings: &mut Findings<'_>) -> Option<Server> {
    let Some(port) = &written.port else {
        findings.error(&format!("{field}.port"), "is missing");
        return None;
    };
    if port.number == 0 {
        findings.error(
            &format!("{field}.port.number"),
            "a port is between 1 and 65535",
        );
    }
    if let Some((_, use_)) = OF_THE_PROXY.iter().find(|(own, _)| *own == port.number) {
        let reason = format!("the proxy uses port {} itself: {use_}", port.number);
        findings.error(&format!("{field}.port.number"), reason);
        findings.advise("let the Service map the port you want to another one of the gateway");
    }
    let Some(protocol) = AppProtocol::from_name(&port.protocol) else {
        let at = format!("{field}.port.protocol");
        findings.error(&at, format!("unknown protocol {:?}", port.protocol));
        findings.advise("possible are HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP, TLS");
        return None;
    };
    let bind = match &*written.bind {
        "" => None,
        text => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                findings.error(&format!("{field}.bind"), format!("{text:?} is no address"));
                None
            }
        },
    };
    if written.hosts.is_empty() {
        findings.error(&format!("{field}.hosts"), "at least one host is needed");
    }
    let mut hosts = Vec::new();
    for (i, text) in written.hosts.iter().enumerate() {
        let (namespace, host) = match text.split_once('/') {
            None | Some(("*", _)) => (None, text.rsplit('/').next().unwrap_or(text)),
            Some((".", host)) => (Some(findings.reference().namespace.clone()), host),
            Some((namespace, host)) => (Some(namespace.into()), host),
        };
        if let Some(host) = findings.host(&format!("{field}.hosts[{i}]"), host) {
            hosts.push(ServerHost { namespace, host });
        }
    }
    let tls = server_tls(&field, written.tls.as_ref(), protocol, findings);
    Some(Server {
        name: written.name.clone(),
        port: NamedPort {
            number: port.number,
            name: port.name.clone(),
            protocol,
        },
        is_https: port.protocol.eq_ignore_ascii_case("https"),
        bind,
        hosts,
        tls,
        field,
    })
}

fn server_tls(
    field: &str,
    written: Option<&istio::ServerTlsSettings>,
    protocol: AppProtocol,
    findings: &mut Findings<'_>,
) -> ServerTls {
    let at = format!("{field}.tls");
    let in_tls = protocol == AppProtocol::Tls;
    let Some(written) = written else {
        if in_tls {
            findings.error(&at, "is missing: the port speaks TLS");
        }
        return ServerTls::Off {
            https_redirect: false,
        };
    };
    if protocol.is_http() {
        return ServerTls::Off {
            https_redirect: written.https_redirect,
        };
    }
    let certificate = || match &*written.credential_name {
        "" => Certificate::Files {
            certificate: written.server_certificate.clone(),
            key: written.private_key.clone(),
        },
        credential => Certificate::Credential(credential.into()),
    };
    let roots = || match &*written.credential_name {
        "" => Roots::File(written.ca_certificates.clone()),
        credential => Roots::Credential(credential.into()),
    };
    let (certificate, client) = match written.mode {
        ServerTlsMode::Passthrough => return ServerTls::Passthrough,
        ServerTlsMode::AutoPassthrough => return ServerTls::AutoPassthrough,
        ServerTlsMode::Simple => (Some(certificate()), ClientCertificate::NotAsked),
        ServerTlsMode::Mutual => (Some(certificate()), ClientCertificate::Required(roots())),
        ServerTlsMode::OptionalMutual => {
            (Some(certificate()), ClientCertificate::Optional(roots()))
        }
        ServerTlsMode::IstioMutual => (None, ClientCertificate::OfMesh),
    };
    if let Some(Certificate::Files { certificate, key }) = &certificate
        && (certificate.is_empty() || key.is_empty())
    {
        findings.error(&at, "a certificate is missing");
        findings.advise("add credentialName, or serverCertificate and privateKey");
    }
    if let ClientCertificate::Required(Roots::File(file))
    | ClientCertificate::Optional(Roots::File(file)) = &client
        && file.is_empty()
    {
        findings.error(&format!("{at}.caCertificates"), "is missing");
    }
    ServerTls::End(Box::new(EndTls {
        certificate,
        client,
        subject_alt_names: written.subject_alt_names.clone(),
        min_version: version(
            &format!("{at}.minProtocolVersion"),
            written.min_protocol_version,
            findings,
        ),
        max_version: version(
            &format!("{at}.maxProtocolVersion"),
            written.max_protocol_version,
            findings,
        ),
    }))
}

fn version(field: &str, written: TlsProtocol, findings: &mut Findings<'_>) -> Option<TlsVersion> {
    match written {
        TlsProtocol::Auto => None,
        TlsProtocol::V1_2 => Some(TlsVersion::V1_2),
        TlsProtocol::V1_3 => Some(TlsVersion::V1_3),
        TlsProtocol::V1_0 | TlsProtocol::V1_1 => {
            findings.error(field, "TLS before 1.2 is not spoken");
            findings.advise("use TLSV1_2");
            None
        }
    }
}

//! How connections are protected: Istio's mutual TLS both ways, and what DestinationRules say.

use super::{names, secrets, view::View};
use crate::{
    dataplane::{
        ClientTls, Name, PeerValidation, SanMatch, SecretSource, ServerTls, TlsMatch, TlsVersion,
        UpstreamTls,
    },
    identity::{SpiffeId, TrustDomain},
    mesh::{self, Resolution, Service, TlsNames},
    name::{Labels, Pattern},
};

/// What an instance carries whose proxy ends mutual TLS.
pub(super) fn mesh_tls_labels() -> Labels {
    [("tlsMode", "istio")].into_iter().collect()
}

/// Mutual TLS within the mesh, as a server ends it: any identity of our trust domains.
pub(super) fn server(view: &View<'_>, alpn: &[&str]) -> ServerTls {
    ServerTls {
        certificates: vec![SecretSource::own_certificate()],
        validation: Some(PeerValidation {
            roots: SecretSource::mesh_roots(),
            names: trust_domains(view).map(any_of).collect(),
            match_requested_host: false,
        }),
        require_client_certificate: true,
        alpn: alpn.iter().map(|&name| name.into()).collect(),
        min_version: min_version(view),
    }
}

/// How a port of a service is called.
pub(super) fn upstream(
    view: &View<'_>,
    service: &Service,
    port: u16,
    subset: &str,
    written: Option<&mesh::ClientTls>,
    http2: bool,
) -> UpstreamTls {
    let in_mesh = |names: &TlsNames| mesh_client(view, service, port, subset, names, http2);
    match written {
        Some(mesh::ClientTls::Off) => UpstreamTls::Off,
        Some(mesh::ClientTls::Mesh(names)) => UpstreamTls::Always(in_mesh(names)),
        Some(mesh::ClientTls::Own {
            certificate,
            roots,
            names,
            insecure,
        }) => UpstreamTls::Always(own_client(
            certificate.as_ref(),
            roots.as_ref(),
            &named_by(service, names),
            *insecure,
            http2,
        )),
        None if is_auto(view, service) => UpstreamTls::ByEndpoint(vec![
            TlsMatch {
                name: "tlsMode-istio".into(),
                labels: mesh_tls_labels(),
                tls: Some(in_mesh(&TlsNames::default())),
            },
            TlsMatch {
                name: "tlsMode-disabled".into(),
                labels: Labels::default(),
                tls: None,
            },
        ]),
        None => UpstreamTls::Off,
    }
}

/// Whether instances tell by their labels how they are called. Where the caller tells the address
/// nothing is known of the instance.
fn is_auto(view: &View<'_>, service: &Service) -> bool {
    let known = match service.resolution {
        Resolution::Instances | Resolution::Dns | Resolution::DnsRoundRobin => true,
        Resolution::Headless => super::clusters::knows_instances(view, service),
        Resolution::Passthrough | Resolution::Alias(_) => false,
    };
    known && !service.is_external && view.mesh.defaults().auto_mtls
}

/// Mutual TLS with the workload's own identity.
fn mesh_client(
    view: &View<'_>,
    service: &Service,
    port: u16,
    subset: &str,
    names: &TlsNames,
    http2: bool,
) -> ClientTls {
    let mut alpn = vec!["istio-peer-exchange".to_owned(), "istio".to_owned()];
    if http2 {
        alpn.push("h2".into());
    }
    let default_name = || names::server_name(port, subset, &service.host);
    let sni = names.sni.as_deref().map(Name::from);
    ClientTls {
        certificates: vec![SecretSource::own_certificate()],
        validation: Some(PeerValidation {
            roots: SecretSource::mesh_roots(),
            names: expected(view, service, names),
            match_requested_host: false,
        }),
        sni: Some(sni.unwrap_or_else(default_name)),
        auto_sni: false,
        alpn,
        min_version: min_version(view),
    }
}

/// Whom a caller expects: who is written, else the identities of the service's instances.
///
/// Where nobody is known yet, any identity of our trust domains is; Istio would then accept
/// whatever chains to a root.
fn expected(view: &View<'_>, service: &Service, names: &TlsNames) -> Vec<SanMatch> {
    let exact = |name: &String| san(name);
    if !names.subject_alt_names.is_empty() {
        return names.subject_alt_names.iter().map(exact).collect();
    }
    let identities = view.mesh.identities(service);
    let mut expected: Vec<String> = identities
        .iter()
        .flat_map(|identity| aliases(view, identity))
        .chain(service.subject_alt_names.iter().cloned())
        .collect();
    expected.sort();
    expected.dedup();
    match &expected[..] {
        [] => trust_domains(view).map(any_of).collect(),
        names => names.iter().map(exact).collect(),
    }
}

/// The identity under each of our trust domains.
fn aliases(view: &View<'_>, identity: &SpiffeId) -> Vec<String> {
    let mut all = vec![identity.to_string()];
    if *identity.trust_domain() == view.mesh.defaults().trust_domain {
        let others = view.mesh.defaults().trust_domain_aliases.iter();
        all.extend(others.map(|alias| format!("spiffe://{alias}{}", identity.path())));
    }
    all
}

/// Where the rule does not say which names the server must have, whoever declares the service may.
fn named_by(service: &Service, names: &TlsNames) -> TlsNames {
    let mut names = names.clone();
    if names.subject_alt_names.is_empty() {
        names
            .subject_alt_names
            .clone_from(&service.subject_alt_names);
    }
    names
}

/// TLS that the user configured. Without names of its own, the server must have the name that is
/// asked for.
fn own_client(
    certificate: Option<&mesh::Certificate>,
    roots: Option<&mesh::Roots>,
    names: &TlsNames,
    insecure: bool,
    http2: bool,
) -> ClientTls {
    let validation = PeerValidation {
        roots: secrets::roots(roots),
        names: names
            .subject_alt_names
            .iter()
            .map(|name| san(name))
            .collect(),
        match_requested_host: names.subject_alt_names.is_empty(),
    };
    ClientTls {
        certificates: certificate.map(secrets::certificate).into_iter().collect(),
        validation: (!insecure).then_some(validation),
        sni: names.sni.as_deref().map(Name::from),
        auto_sni: names.sni.is_none(),
        alpn: match http2 {
            true => vec!["h2".into()],
            // Whatever the server speaks by itself: it need not be HTTP.
            false => Vec::new(),
        },
        min_version: TlsVersion::V1_2,
    }
}

/// The oldest version of TLS that is spoken within the mesh.
fn min_version(view: &View<'_>) -> TlsVersion {
    match view.mesh.defaults().min_tls {
        mesh::TlsVersion::V1_2 => TlsVersion::V1_2,
        mesh::TlsVersion::V1_3 => TlsVersion::V1_3,
    }
}

/// Our trust domain and those that count as ours.
pub(super) fn trust_domains<'a>(view: &View<'a>) -> impl Iterator<Item = &'a TrustDomain> {
    let defaults = view.mesh.defaults();
    std::iter::once(&defaults.trust_domain).chain(&defaults.trust_domain_aliases)
}

fn any_of(domain: &TrustDomain) -> SanMatch {
    SanMatch::Uri(Pattern::Prefix(format!("spiffe://{domain}/")))
}

/// A URI by its scheme, else a DNS name.
pub(super) fn san(name: &str) -> SanMatch {
    match name.contains("://") {
        true => SanMatch::Uri(Pattern::Exact(name.into())),
        false => SanMatch::Dns(Pattern::Exact(name.into())),
    }
}

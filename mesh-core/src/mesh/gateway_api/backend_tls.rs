//! How Services are called over TLS (`BackendTLSPolicy`).

use super::{
    Attached, certificates,
    status::{Condition, ParentStatus, ResourceStatus},
    world::World,
};
use crate::{
    config::{
        Problem, Resource, Severity,
        gateway_api::{
            BackendTlsPolicy, GatewayApi, ParentRef, PolicyTargetRef, SubjectAltNameKind,
        },
    },
    mesh::{ClientTls, Roots, TlsNames, findings::Findings},
    name::{Host, ResourceRef},
};

/// A service, or a port of it, that is called over TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendTls {
    /// The BackendTLSPolicy.
    pub reference: ResourceRef,
    /// The service.
    pub host: Host,
    /// The port; none for every port that no other policy is for.
    pub port: Option<u16>,
    /// How it is called.
    pub tls: ClientTls,
}

/// What is wrong with a policy by itself.
pub(super) fn check(resource: &Resource, written: &BackendTlsPolicy) -> Vec<Problem> {
    let mut findings = Findings::new(resource);
    if written.target_refs.is_empty() {
        findings.error("spec.targetRefs", "at least one is needed");
    }
    let validation = &written.validation;
    let at = "spec.validation";
    findings.host(&format!("{at}.hostname"), &validation.hostname);
    let roots = &validation.ca_certificate_refs;
    match (roots.len(), validation.well_known_ca_certificates) {
        (0, None) => findings.error(at, "caCertificateRefs or wellKnownCACertificates is needed"),
        (1.., Some(_)) => {
            let reason = "caCertificateRefs and wellKnownCACertificates exclude each other";
            findings.error(at, reason);
        }
        (2.., None) => {
            let at = format!("{at}.caCertificateRefs[1]");
            findings.warn(&at, "not supported yet: the first bundle is trusted");
        }
        _ => {}
    }
    for (i, name) in validation.subject_alt_names.iter().enumerate() {
        let at = format!("{at}.subjectAltNames[{i}]");
        match name.kind {
            SubjectAltNameKind::Hostname => {
                findings.host(&format!("{at}.hostname"), &name.hostname);
            }
            SubjectAltNameKind::Uri if !name.uri.contains("://") => {
                findings.error(&format!("{at}.uri"), "is no URI");
            }
            SubjectAltNameKind::Uri => {}
        }
    }
    for name in written.options.keys() {
        findings.warn(&format!("spec.options.{name}"), "not supported yet");
    }
    findings.conclude(()).1
}

/// Every policy. Of several for one service and port the oldest counts. Returns the targets of
/// those that have no roots: requests for them are answered with a 500.
pub(super) fn policies(world: &World<'_>, attached: &mut Attached) -> Vec<(Host, Option<u16>)> {
    let mut untrusted = Vec::new();
    for (resource, written) in world.written() {
        let GatewayApi::BackendTlsPolicy(policy) = written else {
            continue;
        };
        let (tls, resolved) = client_tls(world, resource, policy);
        let mut parents = Vec::new();
        for (i, target) in policy.target_refs.iter().enumerate() {
            let known = attached.backend_tls.len();
            let accepted = apply(world, resource, target, &tls, attached);
            if resolved.is_some() {
                let new = attached.backend_tls[known..].iter();
                untrusted.extend(new.map(|policy| (policy.host.clone(), policy.port)));
            }
            let accepted = match &resolved {
                Some(unusable) => {
                    let reason = "NoValidCACertificate";
                    Condition::fails("Accepted", reason, unusable.message.clone())
                }
                None => accepted,
            };
            if !accepted.holds {
                let reason = format!("{}: {}", accepted.reason, accepted.message);
                let field = format!("spec.targetRefs[{i}]");
                let problem = resource.problem(Severity::Warning, &field, reason);
                attached.problems.push(problem);
            }
            let refs = match &resolved {
                Some(unusable) => unusable.clone(),
                None => Condition::holds("ResolvedRefs", "ResolvedRefs"),
            };
            parents.push(ParentStatus {
                parent: ParentRef {
                    group: Some(target.group.clone()),
                    kind: Some(target.kind.clone()),
                    name: target.name.clone(),
                    section_name: target.section_name.clone(),
                    ..ParentRef::default()
                },
                conditions: vec![accepted, refs],
            });
        }
        attached.statuses.push(ResourceStatus {
            reference: resource.reference.clone(),
            conditions: Vec::new(),
            listeners: Vec::new(),
            parents,
        });
    }
    untrusted
}

/// Without roots that can be used nothing is trusted: no connection opens.
fn client_tls(
    world: &World<'_>,
    resource: &Resource,
    policy: &BackendTlsPolicy,
) -> (ClientTls, Option<Condition>) {
    let validation = &policy.validation;
    let mut names: Vec<String> = validation
        .subject_alt_names
        .iter()
        .map(|name| match name.kind {
            SubjectAltNameKind::Hostname => name.hostname.clone(),
            SubjectAltNameKind::Uri => name.uri.clone(),
        })
        .collect();
    if names.is_empty() {
        names.push(validation.hostname.clone());
    }
    let found = validation.ca_certificate_refs.first().map(|reference| {
        let local = crate::config::gateway_api::ObjectRef {
            namespace: None,
            ..reference.clone()
        };
        certificates::roots(world, &resource.reference, &local)
    });
    let (roots, resolved) = match found {
        None => (None, None),
        Some(Ok(roots)) => (Some(roots), None),
        Some(Err(error)) => {
            let reason = match error.reason {
                "InvalidCACertificateKind" => "InvalidKind",
                reason => reason,
            };
            let nothing = Roots::Credential("no-valid-ca-certificate".into());
            let condition = Condition::fails("ResolvedRefs", reason, error.message);
            (Some(nothing), Some(condition))
        }
    };
    let tls = ClientTls::Own {
        certificate: None,
        roots,
        names: TlsNames {
            sni: Some(validation.hostname.clone()),
            subject_alt_names: names,
        },
        insecure: false,
    };
    (tls, resolved)
}

fn apply(
    world: &World<'_>,
    resource: &Resource,
    target: &PolicyTargetRef,
    tls: &ClientTls,
    attached: &mut Attached,
) -> Condition {
    let fails = |reason, message: String| Condition::fails("Accepted", reason, message);
    let namespace = &resource.reference.namespace;
    let services = match (&*target.group, &*target.kind) {
        ("" | "core", "Service") => world.service(namespace, &target.name).into_iter().collect(),
        ("networking.istio.io", "ServiceEntry") => world.entry(namespace, &target.name).to_vec(),
        (group, kind) => {
            let message = format!("a {kind} of {group:?} is no target");
            return fails("Invalid", message);
        }
    };
    if services.is_empty() {
        let message = format!("there is no {} {namespace}/{}", target.kind, target.name);
        return fails("TargetNotFound", message);
    }
    for service in services {
        let section = target
            .section_name
            .as_deref()
            .filter(|name| !name.is_empty());
        let port = section.map(|name| {
            let mut ports = service.ports.iter().map(|port| &port.port);
            ports.find(|port| port.name == name).map(|port| port.number)
        });
        let Some(port) = port.map_or(Some(None), |found| found.map(Some)) else {
            let message = format!("{} has no port of this name", service.host);
            return fails("TargetNotFound", message);
        };
        let mut known = attached.backend_tls.iter();
        if let Some(older) = known.find(|known| known.host == service.host && known.port == port) {
            let message = format!("{} is for the same target, and older", older.reference);
            return fails("Conflicted", message);
        }
        attached.backend_tls.push(BackendTls {
            reference: resource.reference.clone(),
            host: service.host.clone(),
            port,
            tls: tls.clone(),
        });
    }
    Condition::holds("Accepted", "Accepted")
}

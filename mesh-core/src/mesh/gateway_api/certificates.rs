//! The certificates and roots that listeners refer to.

use super::{backend::Unusable, grants::Reference, world::World};
use crate::{
    config::gateway_api::{ObjectRef, SecretRef},
    mesh::{Certificate, Roots},
    name::ResourceRef,
};

/// A certificate of a Secret, which may be in a namespace that grants it.
pub(super) fn certificate(
    world: &World<'_>,
    gateway: &ResourceRef,
    of: &SecretRef,
) -> Result<Certificate, Unusable> {
    let fails = |reason, message| Err(Unusable { reason, message });
    let namespace = of.namespace.as_deref().unwrap_or(&gateway.namespace);
    let group = of.group.as_deref().unwrap_or("");
    let kind = of.kind.as_deref().unwrap_or("Secret");
    if !matches!(group, "" | "core") || kind != "Secret" {
        let message = format!("{kind} of {group:?} is no certificate");
        return fails("InvalidCertificateRef", message);
    }
    if !world
        .grants
        .allow(to(gateway, "Secret", namespace, &of.name))
    {
        let message = format!(
            "no ReferenceGrant in {namespace} lets it use Secret {}",
            of.name
        );
        return fails("RefNotPermitted", message);
    }
    let Some(secret) = world.secret(namespace, &of.name) else {
        let message = format!("there is no Secret {namespace}/{}", of.name);
        return fails("InvalidCertificateRef", message);
    };
    let holds = |key: &str, label: &str| {
        let bytes = secret.bytes(key).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let begin = text.find("-----BEGIN ");
        begin.is_some_and(|begin| text[begin..].contains(label))
    };
    if !holds("tls.crt", "CERTIFICATE-----") || !holds("tls.key", "PRIVATE KEY-----") {
        let message = format!(
            "Secret {namespace}/{} holds no certificate and key",
            of.name
        );
        return fails("InvalidCertificateRef", message);
    }
    let name = format!("kubernetes-gateway://{namespace}/{}", of.name);
    Ok(Certificate::Credential(name))
}

/// Roots of a ConfigMap or a Secret, under `ca.crt`.
pub(super) fn roots(
    world: &World<'_>,
    referrer: &ResourceRef,
    of: &ObjectRef,
) -> Result<Roots, Unusable> {
    let fails = |reason, message| Err(Unusable { reason, message });
    let namespace = of.namespace.as_deref().unwrap_or(&referrer.namespace);
    if !matches!(
        (&*of.group, &*of.kind),
        ("" | "core", "ConfigMap" | "Secret")
    ) {
        let message = format!("{} of {:?} is no bundle of roots", of.kind, of.group);
        return fails("InvalidCACertificateKind", message);
    }
    if !world
        .grants
        .allow(to(referrer, &of.kind, namespace, &of.name))
    {
        let message = format!(
            "no ReferenceGrant in {namespace} lets it use {} {}",
            of.kind, of.name
        );
        return fails("RefNotPermitted", message);
    }
    let text = match &*of.kind {
        "Secret" => world
            .secret(namespace, &of.name)
            .and_then(|secret| secret.bytes("ca.crt"))
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        _ => world
            .config_map(namespace, &of.name)
            .and_then(|map| map.data.get("ca.crt").cloned()),
    };
    match text.filter(|text| text.contains("-----BEGIN CERTIFICATE-----")) {
        Some(text) => Ok(Roots::Inline(text)),
        None => {
            let message = format!("{} {namespace}/{} holds no ca.crt", of.kind, of.name);
            fails("InvalidCACertificateRef", message)
        }
    }
}

fn to<'a>(
    referrer: &'a ResourceRef,
    to_kind: &'a str,
    to_namespace: &'a str,
    to_name: &'a str,
) -> Reference<'a> {
    Reference {
        from_kind: &referrer.kind,
        from_namespace: &referrer.namespace,
        to_group: "",
        to_kind,
        to_namespace,
        to_name,
    }
}

//! Certificates and roots that users bring, under the names istiod gives them.

use std::sync::Arc;

use super::view::View;
use crate::{
    config::kubernetes,
    dataplane::{Name, Secret, SecretSource, SecretValue, Snapshot},
    mesh::{Certificate, Roots},
};

/// Where the system keeps the roots it trusts (Debian's path, which Istio's images have).
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Keys of a Secret that hold a certificate and its key.
const CERTIFICATE_KEYS: [(&str, &str); 2] = [("tls.crt", "tls.key"), ("cert", "key")];
/// Keys of a Secret that hold roots.
const ROOT_KEYS: [&str; 2] = ["ca.crt", "cacert"];
/// What istiod calls Secrets that a Gateway of the Gateway API names, `<namespace>/<name>`: they
/// may be in another namespace than the proxy.
const OF_GATEWAY_API: &str = "kubernetes-gateway://";
/// What istiod appends to a Secret's name for its roots.
const ROOTS_SUFFIX: &str = "-cacert";

/// Where a certificate comes from.
pub(super) fn certificate(written: &Certificate) -> SecretSource {
    match written {
        Certificate::Credential(name) => SecretSource::Named(resource_name(name)),
        Certificate::Files { certificate, key } => SecretSource::Files {
            certificates: certificate.clone(),
            key: Some(key.clone()),
        },
    }
}

/// Where roots come from; the system's, if nothing is said.
pub(super) fn roots(written: Option<&Roots>) -> SecretSource {
    match written {
        Some(Roots::Credential(name)) => {
            SecretSource::Named(format!("{}{ROOTS_SUFFIX}", resource_name(name)).into())
        }
        Some(Roots::Inline(pem)) => {
            SecretSource::Inline(SecretValue::TrustBundle { roots: pem.clone() })
        }
        Some(Roots::File(file)) => SecretSource::Files {
            certificates: file.clone(),
            key: None,
        },
        None => SecretSource::Files {
            certificates: SYSTEM_ROOTS.into(),
            key: None,
        },
    }
}

/// Puts the secret that a source names into the snapshot. False if nobody wrote it.
pub(super) fn provide(view: &View<'_>, snapshot: &mut Snapshot, source: &SecretSource) -> bool {
    let SecretSource::Named(name) = source else {
        return true;
    };
    if let Some(plain) = name.strip_prefix(OF_GATEWAY_API) {
        let (namespace, name_there) = plain.split_once('/').unwrap_or(("", plain));
        let found = view.mesh.secret(namespace, name_there).and_then(chain);
        return put(snapshot, name, found);
    }
    let Some(plain) = name.strip_prefix("kubernetes://") else {
        return true;
    };
    let (credential, wants_roots) = match plain.strip_suffix(ROOTS_SUFFIX) {
        Some(credential) => (credential, true),
        None => (plain, false),
    };
    let found = |credential: &str| view.mesh.secret(&view.node.namespace, credential);
    let value = match wants_roots {
        // A Secret of its own for roots comes before roots within the certificate's Secret.
        true => found(plain)
            .and_then(bundle)
            .or_else(|| found(credential).and_then(bundle)),
        false => found(credential).and_then(chain),
    };
    put(snapshot, name, value)
}

fn put(snapshot: &mut Snapshot, name: &Name, value: Option<SecretValue>) -> bool {
    let Some(value) = value else {
        return false;
    };
    let secret = Secret {
        name: name.clone(),
        value,
    };
    snapshot.secrets.insert(name.clone(), Arc::new(secret));
    true
}

fn resource_name(credential: &str) -> Name {
    match credential.starts_with(OF_GATEWAY_API) {
        true => credential.into(),
        false => format!("kubernetes://{credential}").into(),
    }
}

fn chain(secret: &kubernetes::Secret) -> Option<SecretValue> {
    CERTIFICATE_KEYS.iter().find_map(|(certificate, key)| {
        Some(SecretValue::Certificate {
            chain: text(secret, certificate)?,
            key: text(secret, key)?,
        })
    })
}

fn bundle(secret: &kubernetes::Secret) -> Option<SecretValue> {
    let roots = ROOT_KEYS.iter().find_map(|key| text(secret, key))?;
    Some(SecretValue::TrustBundle { roots })
}

fn text(secret: &kubernetes::Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.bytes(key)?.to_vec()).ok()
}

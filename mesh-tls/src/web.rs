//! Trust outside the mesh: authorities of the web, and names instead of identities.

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError as RustlsCertificateError, Error as RustlsError, RootCertStore,
    client::{
        danger::{ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::WebPkiSupportedAlgorithms,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::{
    certificate::{CertificateError, LeafFacts, certificates_from_pem},
    signatures::signatures_by_algorithms,
};

/// Where distributions keep the authorities they trust; the first that exists is used.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Authorities that vouch for names, not for identities.
#[derive(Debug, Clone)]
pub struct WebRoots(pub(crate) Arc<RootCertStore>);

/// Why there are no roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The PEM text holds no usable certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate cannot be a root.
    #[error("root {index} cannot be used: {reason}")]
    Root {
        /// Which certificate, from zero.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// This machine has no file of trusted authorities in any of the usual places.
    #[error("this machine has no file of trusted authorities")]
    NoSystemRoots,
}

impl WebRoots {
    /// Every certificate of a PEM text; each must be usable.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        for (index, root) in certificates_from_pem(pem)?.into_iter().enumerate() {
            store.add(root).map_err(|error| RootsError::Root {
                index,
                reason: error.to_string(),
            })?;
        }
        Ok(Self(Arc::new(store)))
    }

    /// What this machine trusts. Roots in the file that cannot be used are passed over.
    pub fn system() -> Result<Self, RootsError> {
        let pem = SYSTEM_ROOTS
            .iter()
            .find_map(|path| std::fs::read(Path::new(path)).ok())
            .ok_or(RootsError::NoSystemRoots)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates_from_pem(&pem)?);
        Ok(Self(Arc::new(store)))
    }
}

/// Checks a server of the web: its chain, then one of the names it may have.
#[derive(Debug)]
pub(crate) struct WebServerVerifier {
    pub(crate) roots: WebRoots,
    /// DNS names or URIs of which the certificate must have one; if empty, the name called.
    pub(crate) names: Vec<String>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl WebServerVerifier {
    fn check_name(
        &self,
        leaf: &CertificateDer<'_>,
        called: &ServerName<'_>,
    ) -> Result<(), RustlsError> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        if self.names.is_empty() {
            return verify_server_name(&parsed, called);
        }
        let uris = LeafFacts::of(leaf)
            .map(|facts| facts.uris)
            .unwrap_or_default();
        let has = |name: &String| {
            uris.contains(name)
                || ServerName::try_from(name.as_str())
                    .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
        };
        if self.names.iter().any(has) {
            Ok(())
        } else {
            Err(RustlsCertificateError::NotValidForName.into())
        }
    }
}

impl ServerCertVerifier for WebServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let (roots, algorithms) = (&self.roots.0, self.algorithms.all);
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, signers, now, algorithms)?;
        self.check_name(leaf, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_algorithms!();
}

/// Believes any server: `insecureSkipVerify`. Handshake signatures are still checked, so the
/// server does hold the key of the certificate it shows.
#[derive(Debug)]
pub(crate) struct AnyServerVerifier {
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyServerVerifier {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _signers: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_algorithms!();
}

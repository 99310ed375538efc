//! Key, chain and bundle as one value.

use mesh_core::identity::SpiffeId;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    bundle::{BundleError, TrustBundles},
    certificate::{CertificateError, KeyedCertificate, LeafFacts},
    svid::{self, BrokenRule},
};

/// Everything a workload needs to prove who it is and to judge others.
///
/// The identity is read from the chain, so the two cannot disagree. The private key cannot be
/// taken out and is never printed.
#[derive(Debug, Clone)]
pub struct Credentials {
    identity: SpiffeId,
    certificate: KeyedCertificate,
    bundles: TrustBundles,
}

/// Why parts do not make credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The chain or the key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The leaf is not an SVID.
    #[error("the certificate is not an SVID: {0}")]
    Svid(#[from] BrokenRule),
    /// The roots cannot be used.
    #[error("the trust bundle cannot be used: {0}")]
    Bundle(#[from] BundleError),
}

impl Credentials {
    /// Puts a certificate and the believed roots together.
    pub fn new(
        certificate: KeyedCertificate,
        bundles: TrustBundles,
    ) -> Result<Self, CredentialsError> {
        let leaf = certificate.chain().first();
        let identity = svid::identity_of(leaf.ok_or(CertificateError::NoCertificate)?)?;
        Ok(Self {
            identity,
            certificate,
            bundles,
        })
    }

    /// The same from DER.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        bundles: TrustBundles,
        provider: &CryptoProvider,
    ) -> Result<Self, CredentialsError> {
        Self::new(KeyedCertificate::new(chain, key, provider)?, bundles)
    }

    /// The same from PEM; the roots are those of the leaf's own trust domain.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        roots: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, CredentialsError> {
        let certificate = KeyedCertificate::from_pem(chain, key, provider)?;
        let alone = Self::new(certificate, TrustBundles::empty())?;
        let trust_domain = alone.identity.trust_domain().clone();
        let bundles = TrustBundles::from_pem(trust_domain, roots)?;
        Ok(alone.with_bundles(bundles))
    }

    /// The same key and chain with other roots.
    pub fn with_bundles(&self, bundles: TrustBundles) -> Self {
        Self {
            bundles,
            ..self.clone()
        }
    }

    /// Whose credentials these are.
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The chain with its key.
    pub fn certificate(&self) -> &KeyedCertificate {
        &self.certificate
    }

    /// The roots others are judged by.
    pub fn bundles(&self) -> &TrustBundles {
        &self.bundles
    }

    /// Serial number, validity and names of the leaf.
    pub fn facts(&self) -> &LeafFacts {
        self.certificate.facts()
    }
}

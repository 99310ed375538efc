//! Roots per trust domain.

use std::{collections::BTreeMap, fmt, sync::Arc};

use mesh_core::identity::TrustDomain;
use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::{
    certificate::{CertificateError, certificates_from_pem},
    svid::{self, BrokenRule},
};

/// Why a bundle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The roots cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A root may not sign, by the rules for signing certificates.
    #[error("root {index}: {rule}")]
    Root {
        /// Which root of the bundle, from zero.
        index: usize,
        /// The rule it breaks.
        rule: BrokenRule,
    },
}

/// The roots of every trust domain whose identities are believed.
///
/// An identity is only ever verified against the roots of its own trust domain. The value is
/// immutable and cheap to clone.
#[derive(Clone, Default)]
pub struct TrustBundles(Arc<BTreeMap<TrustDomain, Bundle>>);

#[derive(Clone)]
struct Bundle {
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustBundles {
    /// No roots at all: nobody is believed.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These bundles with the roots of one trust domain set, replacing those it had.
    ///
    /// Aliases of a trust domain are trust domains of their own: give each the same roots.
    pub fn with(
        &self,
        trust_domain: TrustDomain,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        let anchors = roots
            .iter()
            .enumerate()
            .map(|(index, root)| anchor(index, root))
            .collect::<Result<_, _>>()?;
        let mut bundles = BTreeMap::clone(&self.0);
        bundles.insert(trust_domain, Bundle { roots, anchors });
        Ok(Self(Arc::new(bundles)))
    }

    /// The roots of one trust domain, from PEM.
    pub fn from_pem(trust_domain: TrustDomain, roots: &[u8]) -> Result<Self, BundleError> {
        Self::empty().with(trust_domain, certificates_from_pem(roots)?)
    }

    /// The trust domains and their roots.
    pub fn iter(&self) -> impl Iterator<Item = (&TrustDomain, &[CertificateDer<'static>])> {
        self.0
            .iter()
            .map(|(domain, bundle)| (domain, &bundle.roots[..]))
    }

    pub(crate) fn anchors(&self, trust_domain: &TrustDomain) -> Option<&[TrustAnchor<'static>]> {
        self.0.get(trust_domain).map(|bundle| &bundle.anchors[..])
    }
}

impl PartialEq for TrustBundles {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for TrustBundles {}

impl fmt::Debug for TrustBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.iter().map(|(domain, roots)| (domain, roots.len()));
        f.debug_map().entries(counts).finish()
    }
}

fn anchor(index: usize, root: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, BundleError> {
    svid::check_signer(root).map_err(|rule| BundleError::Root { index, rule })?;
    webpki::anchor_from_trusted_cert(root)
        .map(|anchor| anchor.to_owned())
        .map_err(|error| CertificateError::Der(error.to_string()).into())
}

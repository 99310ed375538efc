//! SPIFFE checks for both sides of a handshake.

use std::{fmt, sync::Arc, time::SystemTime};

use mesh_core::identity::{SpiffeId, TrustDomain};
use rustls::{
    CertificateError as RustlsCertificateError, DistinguishedName, Error as RustlsError,
    OtherError,
    client::danger::{ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    bundle::TrustBundles,
    signatures::signatures_by_algorithms,
    svid::{self, BrokenRule},
};

/// Which identities may be at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedIdentities {
    /// Anybody of a trust domain whose roots are known.
    Any,
    /// One of these; nobody, if there are none.
    OneOf(Arc<[SpiffeId]>),
    /// Anybody of one of these trust domains.
    TrustDomains(Arc<[TrustDomain]>),
}

impl ExpectedIdentities {
    /// Exactly this one.
    pub fn exactly(identity: SpiffeId) -> Self {
        Self::OneOf([identity].into())
    }

    /// Whether an identity is among them.
    pub fn contains(&self, identity: &SpiffeId) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(identities) => identities.contains(identity),
            Self::TrustDomains(domains) => domains.contains(identity.trust_domain()),
        }
    }
}

impl fmt::Display for ExpectedIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any identity"),
            Self::OneOf(identities) => write_list(f, identities),
            Self::TrustDomains(domains) => {
                f.write_str("any identity of ")?;
                write_list(f, domains)
            }
        }
    }
}

/// Which side of the connection is being verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRole {
    /// The one who called.
    Client,
    /// The one who was called.
    Server,
}

/// Why the other side is not believed. Always the peer's fault, or its operator's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The peer sent no certificate.
    #[error("the peer sent no certificate")]
    NoCertificate,
    /// The leaf breaks a rule for SVIDs.
    #[error("the peer's certificate is not an SVID: {0}")]
    Leaf(BrokenRule),
    /// A certificate that should link leaf and root breaks a rule for signers.
    #[error("a certificate of the peer's chain may not sign: {0}")]
    Signer(BrokenRule),
    /// No roots are known for the trust domain that the identity claims.
    #[error("no roots are known for trust domain {0}")]
    UnknownTrustDomain(TrustDomain),
    /// The certificate was valid once.
    #[error("the certificate of {0} has expired")]
    Expired(SpiffeId),
    /// The certificate will be valid later.
    #[error("the certificate of {0} is not valid yet")]
    NotYetValid(SpiffeId),
    /// The chain does not lead to a root of the identity's trust domain.
    #[error("the chain of {identity} does not verify: {error}")]
    Chain {
        /// The identity claimed.
        identity: SpiffeId,
        /// What is wrong with the chain.
        error: webpki::Error,
    },
    /// The peer is who it says, but somebody else was expected.
    #[error("the peer is {identity}, expected was {expected}")]
    Unexpected {
        /// Who answered.
        identity: SpiffeId,
        /// Who should have.
        expected: ExpectedIdentities,
    },
}

impl VerifyError {
    /// Finds the error in what rustls reports about a failed handshake.
    pub(crate) fn inside(error: &RustlsError) -> Option<Self> {
        match error {
            RustlsError::InvalidCertificate(RustlsCertificateError::Other(OtherError(other))) => {
                other.downcast_ref::<Self>().cloned()
            }
            RustlsError::NoCertificatesPresented => Some(Self::NoCertificate),
            _ => None,
        }
    }
}

impl From<VerifyError> for RustlsError {
    fn from(error: VerifyError) -> Self {
        RustlsCertificateError::Other(OtherError(Arc::new(error))).into()
    }
}

/// Judges the chain of a peer: the SVID rules, then the chain up to a root of the identity's own
/// trust domain, then whether this identity was expected.
///
/// DNS names play no part. Works for both sides of a rustls handshake and without one.
#[derive(Debug, Clone)]
pub struct SvidVerifier {
    bundles: TrustBundles,
    expected: ExpectedIdentities,
    certificate_required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl SvidVerifier {
    /// A verifier that believes these roots and expects these identities.
    pub fn new(
        bundles: TrustBundles,
        expected: ExpectedIdentities,
        provider: &CryptoProvider,
    ) -> Self {
        Self {
            bundles,
            expected,
            certificate_required: true,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Lets clients in that show no certificate; one that is shown is judged all the same.
    pub fn certificate_optional(self) -> Self {
        Self {
            certificate_required: false,
            ..self
        }
    }

    /// Judges a chain, leaf first.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: PeerRole,
        now: SystemTime,
    ) -> Result<SpiffeId, VerifyError> {
        let (leaf, signers) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(since_epoch.unwrap_or_default());
        self.judge(leaf, signers, role, now)
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        role: PeerRole,
        now: UnixTime,
    ) -> Result<SpiffeId, VerifyError> {
        let identity = svid::identity_of(leaf).map_err(VerifyError::Leaf)?;
        signers
            .iter()
            .try_for_each(svid::check_signer)
            .map_err(VerifyError::Signer)?;
        let domain = identity.trust_domain();
        let anchors = self
            .bundles
            .anchors(domain)
            .ok_or_else(|| VerifyError::UnknownTrustDomain(domain.clone()))?;
        let usage = match role {
            PeerRole::Client => KeyUsage::client_auth(),
            PeerRole::Server => KeyUsage::server_auth(),
        };
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    self.algorithms.all,
                    anchors,
                    signers,
                    now,
                    usage,
                    None,
                    None,
                )
                .map(drop)
            })
            .map_err(|error| chain_error(&identity, error))?;
        if self.expected.contains(&identity) {
            Ok(identity)
        } else {
            let expected = self.expected.clone();
            Err(VerifyError::Unexpected { identity, expected })
        }
    }
}

impl ServerCertVerifier for SvidVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.judge(leaf, signers, PeerRole::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_by_algorithms!();
}

impl ClientCertVerifier for SvidVerifier {
    /// No hints: a stranger learns nothing about the mesh.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.certificate_required
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        signers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        self.judge(leaf, signers, PeerRole::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures_by_algorithms!();
}

fn chain_error(identity: &SpiffeId, error: webpki::Error) -> VerifyError {
    let identity = identity.clone();
    match error {
        webpki::Error::CertExpired { .. } => VerifyError::Expired(identity),
        webpki::Error::CertNotValidYet { .. } => VerifyError::NotYetValid(identity),
        error => VerifyError::Chain { identity, error },
    }
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    let Some((first, others)) = items.split_first() else {
        return f.write_str("nobody");
    };
    write!(f, "{first}")?;
    others.iter().try_for_each(|item| write!(f, ", {item}"))
}

use std::time::{Duration, SystemTime};

use mesh_core::identity::{SpiffeId, TrustDomain};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use super::{Authority, to_pem};

/// A chain for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf, then the intermediates; without the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots the chain leads to.
    pub roots: Vec<CertificateDer<'static>>,
    /// Whose chain it is.
    pub identity: SpiffeId,
    /// When the leaf ends.
    pub expires: SystemTime,
}

/// Why no chain is issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The identity is of a trust domain that is not this authority's.
    #[error("this authority speaks for {ours}, not for {theirs}")]
    ForeignTrustDomain {
        /// The authority's trust domain.
        ours: TrustDomain,
        /// That of the identity.
        theirs: TrustDomain,
    },
    /// The issuing certificate has ended.
    #[error("the certificate of this authority has expired")]
    AuthorityExpired,
    /// There is no randomness, or signing failed.
    #[error("signing failed: {0}")]
    Signing(String),
}

impl From<rcgen::Error> for IssueError {
    fn from(error: rcgen::Error) -> Self {
        Self::Signing(error.to_string())
    }
}

impl Issued {
    /// One PEM text per certificate, leaf first and roots last: Istio's `cert_chain`.
    pub fn to_pem(&self) -> Vec<String> {
        self.chain
            .iter()
            .chain(&self.roots)
            .map(|der| to_pem(der))
            .collect()
    }
}

pub(super) fn issue(
    authority: &Authority,
    public_key: &impl PublicKeyData,
    identity: &SpiffeId,
    asked: Option<Duration>,
) -> Result<Issued, IssueError> {
    if identity.trust_domain() != &authority.trust_domain {
        return Err(IssueError::ForeignTrustDomain {
            ours: authority.trust_domain.clone(),
            theirs: identity.trust_domain().clone(),
        });
    }
    let now = authority.context.now();
    if authority.expires <= now {
        return Err(IssueError::AuthorityExpired);
    }
    let expires = (now + authority.policy.lifetime(asked)).min(authority.expires);
    let mut params = svid(identity)?;
    params.serial_number = Some(random_serial(authority)?);
    params.not_before = (now - authority.policy.backdate).into();
    params.not_after = expires.into();
    let leaf = params.signed_by(public_key, &authority.issuer)?;
    let mut chain = vec![leaf.der().clone()];
    chain.extend(authority.intermediates.iter().cloned());
    Ok(Issued {
        chain,
        roots: authority.roots.clone(),
        identity: identity.clone(),
        expires,
    })
}

/// A leaf by the X.509-SVID rules. The subject is empty, which makes the alternative name critical
/// (RFC 5280, section 4.2.1.6).
fn svid(identity: &SpiffeId) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 126 random bits. The top bits are set so that the number is positive and always 16 bytes long.
fn random_serial(authority: &Authority) -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; 16];
    authority
        .context
        .provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| IssueError::Signing("there is no randomness".to_owned()))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

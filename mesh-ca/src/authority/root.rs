use std::{
    fmt,
    time::{Duration, SystemTime},
};

use mesh_core::identity::{SpiffeId, SpiffeIdError, TrustDomain};
use mesh_tls::{
    BundleError, CertificateError, ExpectedIdentities, LeafFacts, PeerRole, SvidVerifier,
    TlsContext, TrustBundles, VerifyError, certificates_from_pem,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{Authority, OwnCredentialsError, to_pem};
use crate::policy::IssuancePolicy;

/// How long a root that was made here is valid. Istio's `CITADEL_SELF_SIGNED_CA_CERT_TTL`.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// An authority as PEM, in the four parts of Istio's secret `cacerts`.
#[derive(Clone)]
pub struct AuthorityPem {
    /// `ca-cert.pem`: the issuing certificate.
    pub ca_cert: String,
    /// `ca-key.pem`: its key. Wiped from memory when dropped.
    pub ca_key: Zeroizing<String>,
    /// `cert-chain.pem`: the issuing certificate and others up to the root, which may be left out.
    pub cert_chain: String,
    /// `root-cert.pem`: the roots.
    pub root_cert: String,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A certificate cannot be read.
    #[error("{file}: {error}")]
    Certificate {
        /// Which of the four parts.
        file: &'static str,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The key cannot be read, or is of a kind that cannot sign.
    #[error("ca-key.pem: the key cannot be used")]
    Key,
    /// The key is that of another certificate.
    #[error("ca-key.pem is not the key of ca-cert.pem")]
    KeyMismatch,
    /// The roots cannot be used.
    #[error("root-cert.pem: {0}")]
    Roots(#[from] BundleError),
    /// What the authority issues does not verify against its own roots.
    #[error("what this authority would issue does not verify: {0}")]
    Unusable(#[from] VerifyError),
    /// The authority cannot issue.
    #[error(transparent)]
    Issue(#[from] OwnCredentialsError),
    /// The trust domain is so long that no identity fits.
    #[error(transparent)]
    Identity(#[from] SpiffeIdError),
    /// Making a key or a certificate failed.
    #[error("the root cannot be made: {0}")]
    Generate(String),
}

impl Authority {
    /// Makes a self-signed root (ECDSA P-256, 10 years), as PEM to be kept.
    pub fn generate(
        trust_domain: &TrustDomain,
        context: &TlsContext,
    ) -> Result<AuthorityPem, AuthorityError> {
        generate(trust_domain, context.now())
            .map_err(|error| AuthorityError::Generate(error.to_string()))
    }

    /// Takes up an authority: one made by [`generate`](Self::generate), or Istio's `cacerts`.
    ///
    /// It is tried before it is given back: a chain is issued and verified.
    pub fn new(
        trust_domain: TrustDomain,
        pem: &AuthorityPem,
        policy: IssuancePolicy,
        context: TlsContext,
    ) -> Result<Self, AuthorityError> {
        let certificate = certificates(&pem.ca_cert, "ca-cert.pem")?.swap_remove(0);
        let key = KeyPair::from_pem(&pem.ca_key).map_err(|_| AuthorityError::Key)?;
        check_key(&certificate, &key)?;
        let roots = certificates(&pem.root_cert, "root-cert.pem")?;
        let expires = LeafFacts::of(&certificate)
            .map_err(|error| unreadable("ca-cert.pem", error))?
            .not_after;
        let authority = Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)
                .map_err(|error| AuthorityError::Generate(error.to_string()))?,
            intermediates: intermediates(certificate, &pem.cert_chain, &roots)?,
            bundles: TrustBundles::empty().with(trust_domain.clone(), roots.clone())?,
            trust_domain,
            policy,
            context,
            expires,
            roots,
        };
        authority.try_out()?;
        Ok(authority)
    }

    fn try_out(&self) -> Result<(), AuthorityError> {
        let identity: SpiffeId = format!("spiffe://{}/try-out", self.trust_domain).parse()?;
        let credentials = self.credentials(&identity)?;
        let provider = self.context.provider();
        let expected = ExpectedIdentities::exactly(identity);
        SvidVerifier::new(self.bundles.clone(), expected, provider).verify(
            credentials.certificate().chain(),
            PeerRole::Server,
            self.context.now(),
        )?;
        Ok(())
    }
}

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPem")
            .field("ca_cert", &self.ca_cert)
            .field("ca_key", &"(secret)")
            .field("cert_chain", &self.cert_chain)
            .field("root_cert", &self.root_cert)
            .finish()
    }
}

fn generate(trust_domain: &TrustDomain, now: SystemTime) -> Result<AuthorityPem, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let organization = trust_domain.as_str();
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - IssuancePolicy::default().backdate).into();
    params.not_after = (now + ROOT_LIFETIME).into();
    let root = to_pem(params.self_signed(&key)?.der());
    Ok(AuthorityPem {
        ca_cert: root.clone(),
        ca_key: Zeroizing::new(key.serialize_pem()),
        cert_chain: String::new(),
        root_cert: root,
    })
}

fn certificates(
    pem: &str,
    file: &'static str,
) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    certificates_from_pem(pem.as_bytes()).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &'static str, error: CertificateError) -> AuthorityError {
    AuthorityError::Certificate { file, error }
}

fn check_key(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<(), AuthorityError> {
    let malformed = |error: String| unreadable("ca-cert.pem", CertificateError::Der(error));
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| malformed(error.to_string()))?;
    if &*parsed.public_key().subject_public_key.data == key.public_key_raw() {
        Ok(())
    } else {
        Err(AuthorityError::KeyMismatch)
    }
}

/// The issuing certificate and those above it, each once, roots left out.
fn intermediates(
    certificate: CertificateDer<'static>,
    cert_chain: &str,
    roots: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let mut all = vec![certificate];
    if !cert_chain.trim().is_empty() {
        for above in certificates(cert_chain, "cert-chain.pem")? {
            if !all.contains(&above) {
                all.push(above);
            }
        }
    }
    all.retain(|certificate| !roots.contains(certificate));
    Ok(all)
}

//! Signs: a root or an intermediate, and the chains it issues.

mod csr;
mod issue;
mod root;
mod source;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use mesh_core::identity::{SpiffeId, TrustDomain};
use mesh_tls::{Credentials, CredentialsError, TlsContext, TrustBundles};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

pub use csr::{Csr, CsrError};
pub use issue::{IssueError, Issued};
pub use root::{AuthorityError, AuthorityPem};
pub use source::AuthoritySource;

use crate::policy::IssuancePolicy;

/// Gives identities of one trust domain to public keys.
///
/// It decides nothing about who deserves which identity: that is an
/// [`Attestor`](crate::Attestor)'s work. The key of the authority is never printed.
pub struct Authority {
    trust_domain: TrustDomain,
    policy: IssuancePolicy,
    context: TlsContext,
    issuer: rcgen::Issuer<'static, KeyPair>,
    /// When the issuing certificate ends; nothing it signs lasts longer.
    expires: SystemTime,
    /// From the issuing certificate towards the root, the root left out.
    intermediates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    bundles: TrustBundles,
}

impl Authority {
    /// Issues a chain for an identity, to whoever proved to hold the key of `csr`.
    ///
    /// Names in the request play no part. `asked` is the lifetime asked for, which the policy and
    /// the authority's own lifetime may shorten.
    pub fn issue(
        &self,
        csr: &Csr,
        identity: &SpiffeId,
        asked: Option<Duration>,
    ) -> Result<Issued, IssueError> {
        issue::issue(self, csr.public_key(), identity, asked)
    }

    /// Makes a key and issues a chain for it: credentials for the authority's own process.
    pub fn credentials(&self, identity: &SpiffeId) -> Result<Credentials, OwnCredentialsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::from)?;
        let issued = issue::issue(self, &key, identity, None)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = self.context.provider();
        let bundles = self.bundles.clone();
        Ok(Credentials::from_der(
            issued.chain,
            key.into(),
            bundles,
            provider,
        )?)
    }

    /// The trust domain whose identities are issued.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots that chains of this authority lead to.
    pub fn bundles(&self) -> &TrustBundles {
        &self.bundles
    }

    /// The same roots as PEM: what a workload is given to begin with.
    pub fn roots_pem(&self) -> String {
        self.roots.iter().map(|root| to_pem(root)).collect()
    }

    /// When the issuing certificate ends.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

/// Why the authority has no credentials for its own process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnCredentialsError {
    /// Issuing failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What was issued is not usable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .field("policy", &self.policy)
            .field("expires", &self.expires)
            .field("intermediates", &self.intermediates.len())
            .field("roots", &self.roots.len())
            .field("key", &"(secret)")
            .finish()
    }
}

/// One certificate as PEM text.
pub(crate) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let line_ending = pem::LineEnding::LF;
    let config = pem::EncodeConfig::new().set_line_ending(line_ending);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", &**certificate), config)
}

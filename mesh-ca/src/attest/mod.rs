//! From a proof to an identity.

mod certificate;
mod token;

use std::fmt;

use mesh_core::identity::SpiffeId;
use mesh_tls::Peer;

pub use certificate::CertificateAttestor;
pub use token::{MAX_TOKEN_LEN, TokenAttestor, TokenIssuer, TokenIssuerError};

/// What a caller shows to prove who it is.
#[derive(Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// A bearer token, as sent in `authorization`.
    pub token: Option<&'a str>,
    /// The other side of the connection, as TLS has verified it.
    pub peer: Option<&'a Peer>,
}

/// An identity that was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Who the caller is.
    pub identity: SpiffeId,
    /// How it was proved, in a word or two: for logs.
    pub by: &'static str,
}

/// Why evidence does not prove an identity. Always the caller's fault, or its platform's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The caller showed nothing that any attestor judges.
    #[error("no proof of identity was given: neither a token nor a client certificate")]
    NoEvidence,
    /// The token is not believed.
    #[error("the token is not believed: {0}")]
    Token(String),
    /// The certificate is of another trust domain.
    #[error("identities of {0} are not issued here")]
    ForeignTrustDomain(mesh_core::identity::TrustDomain),
}

/// Judges one kind of evidence.
#[tonic::async_trait]
pub trait Attestor: fmt::Debug + Send + Sync {
    /// Says who the caller is. `None` if the evidence holds nothing of the kind this attestor
    /// judges, so that another may.
    async fn attest(&self, evidence: Evidence<'_>) -> Option<Result<Attested, AttestError>>;
}

/// The token is a secret.
impl fmt::Debug for Evidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evidence")
            .field("token", &self.token.map(|_| "(secret)"))
            .field("peer", &self.peer)
            .finish()
    }
}

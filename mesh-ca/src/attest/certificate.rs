use mesh_core::identity::TrustDomain;

use super::{AttestError, Attested, Attestor, Evidence};

/// Believes the certificate of the connection: whoever holds an identity may renew it.
///
/// TLS has verified the certificate already, by [`mesh_tls::SvidVerifier`].
#[derive(Debug, Clone)]
pub struct CertificateAttestor {
    /// The trust domain whose identities may be renewed.
    pub trust_domain: TrustDomain,
}

#[tonic::async_trait]
impl Attestor for CertificateAttestor {
    async fn attest(&self, evidence: Evidence<'_>) -> Option<Result<Attested, AttestError>> {
        let identity = evidence.peer?.identity.clone()?;
        if *identity.trust_domain() != self.trust_domain {
            let foreign = identity.trust_domain().clone();
            return Some(Err(AttestError::ForeignTrustDomain(foreign)));
        }
        Some(Ok(Attested {
            identity,
            by: "certificate",
        }))
    }
}

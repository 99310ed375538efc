use std::sync::Arc;

use mesh_core::identity::SpiffeId;
use mesh_tls::{Credentials, CredentialsSource, SourceError};

use super::Authority;

/// An authority as the source of its own process's credentials: how a control plane gets the
/// certificate it serves with.
#[derive(Debug, Clone)]
pub struct AuthoritySource {
    /// Issues.
    pub authority: Arc<Authority>,
    /// Whom it issues to.
    pub identity: SpiffeId,
}

impl CredentialsSource for AuthoritySource {
    fn fetch(&self) -> impl Future<Output = Result<Credentials, SourceError>> + Send {
        let issued = self.authority.credentials(&self.identity);
        std::future::ready(issued.map_err(|error| SourceError::Refused(error.into())))
    }
}

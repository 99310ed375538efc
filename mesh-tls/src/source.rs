//! Where credentials come from.

use std::error::Error;

use crate::credentials::Credentials;

/// Gives fresh credentials on demand: a CA over the network, files, a test.
///
/// A source does not retry and does not cache; [`CredentialsKeeper`](crate::CredentialsKeeper)
/// does both.
pub trait CredentialsSource {
    /// Obtains new credentials.
    fn fetch(&self) -> impl Future<Output = Result<Credentials, SourceError>> + Send;
}

/// Why a source gave no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The source cannot be reached or failed; it may work later.
    #[error("credentials cannot be obtained now: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The source answered no; asking again helps only if something is changed.
    #[error("credentials were refused: {0}")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// The source answered with something that is not usable.
    #[error("the credentials obtained are unusable: {0}")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

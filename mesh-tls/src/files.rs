//! PEM files as a source of credentials.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::crypto::CryptoProvider;

use crate::{
    credentials::Credentials,
    source::{CredentialsSource, SourceError},
};

/// The longest file that is read, in bytes.
const MAX_FILE_LEN: u64 = 1024 * 1024;

/// Credentials in three PEM files, read anew at each renewal.
#[derive(Debug, Clone)]
pub struct CredentialsFiles {
    /// The chain, leaf first. Istio's `cert-chain.pem`.
    pub chain: PathBuf,
    /// The private key of the leaf. Istio's `key.pem`.
    pub key: PathBuf,
    /// The roots of the leaf's trust domain. Istio's `root-cert.pem`.
    pub roots: PathBuf,
    /// Loads the key.
    pub provider: Arc<CryptoProvider>,
}

impl CredentialsFiles {
    /// The three files under Istio's names in one directory.
    pub fn in_directory(directory: &Path, provider: Arc<CryptoProvider>) -> Self {
        Self {
            chain: directory.join("cert-chain.pem"),
            key: directory.join("key.pem"),
            roots: directory.join("root-cert.pem"),
            provider,
        }
    }

    /// Reads the files now. They are small and local, so this blocks.
    pub fn load(&self) -> Result<Credentials, SourceError> {
        let chain = read(&self.chain)?;
        let key = read(&self.key)?;
        let roots = read(&self.roots)?;
        Credentials::from_pem(&chain, &key, &roots, &self.provider)
            .map_err(|error| SourceError::Unusable(error.into()))
    }
}

impl CredentialsSource for CredentialsFiles {
    fn fetch(&self) -> impl Future<Output = Result<Credentials, SourceError>> + Send {
        std::future::ready(self.load())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let unavailable =
        |why: String| SourceError::Unavailable(format!("{}: {why}", path.display()).into());
    let length = std::fs::metadata(path).map_err(|error| unavailable(error.to_string()))?;
    if length.len() > MAX_FILE_LEN {
        return Err(unavailable(format!("longer than {MAX_FILE_LEN} bytes")));
    }
    std::fs::read(path).map_err(|error| unavailable(error.to_string()))
}

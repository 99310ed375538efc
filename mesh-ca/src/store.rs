//! Where an authority's key is kept between runs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroizing;

use crate::authority::AuthorityPem;

/// Keeps one authority.
pub trait KeyStore {
    /// The authority that is kept, if any.
    fn load(&self) -> Result<Option<AuthorityPem>, StoreError>;

    /// Keeps an authority. Refuses to replace one: that would orphan every certificate it issued.
    fn save(&self, authority: &AuthorityPem) -> Result<(), StoreError>;
}

/// Why nothing was loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An authority is kept already.
    #[error("an authority is kept already; it is not replaced")]
    Exists,
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Keeps an authority for as long as the process runs.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Option<AuthorityPem>>);

impl KeyStore for MemoryStore {
    fn load(&self) -> Result<Option<AuthorityPem>, StoreError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.clone())
    }

    fn save(&self, authority: &AuthorityPem) -> Result<(), StoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *kept {
            Some(_) => Err(StoreError::Exists),
            None => {
                *kept = Some(authority.clone());
                Ok(())
            }
        }
    }
}

/// Keeps an authority in a directory, in files named as in Istio's secret `cacerts`.
///
/// Each file is readable by its owner only, written aside, flushed to disk and moved into place;
/// the key comes last, so an authority whose key is there is complete.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    directory: PathBuf,
}

const CA_CERT: &str = "ca-cert.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT_CHAIN: &str = "cert-chain.pem";
const ROOT_CERT: &str = "root-cert.pem";

impl DirectoryStore {
    /// Keeps it here. The directory is made when something is saved.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    fn read(&self, name: &str) -> Result<String, StoreError> {
        let path = self.directory.join(name);
        fs::read_to_string(&path).map_err(|error| StoreError::File { path, error })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let path = self.directory.join(name);
        replace(&path, text.as_bytes()).map_err(|error| StoreError::File { path, error })
    }
}

impl KeyStore for DirectoryStore {
    fn load(&self) -> Result<Option<AuthorityPem>, StoreError> {
        if !self.directory.join(CA_KEY).exists() {
            return Ok(None);
        }
        Ok(Some(AuthorityPem {
            ca_key: Zeroizing::new(self.read(CA_KEY)?),
            ca_cert: self.read(CA_CERT)?,
            cert_chain: self.read(CERT_CHAIN)?,
            root_cert: self.read(ROOT_CERT)?,
        }))
    }

    fn save(&self, authority: &AuthorityPem) -> Result<(), StoreError> {
        if self.directory.join(CA_KEY).exists() {
            return Err(StoreError::Exists);
        }
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|error| StoreError::File {
                path: self.directory.clone(),
                error,
            })?;
        self.write(CA_CERT, &authority.ca_cert)?;
        self.write(CERT_CHAIN, &authority.cert_chain)?;
        self.write(ROOT_CERT, &authority.root_cert)?;
        self.write(CA_KEY, &authority.ca_key)
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("pem.new");
    // A rest of an interrupted run may have other permissions: it is not written into.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

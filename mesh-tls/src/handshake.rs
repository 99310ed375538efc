//! What both sides of a handshake share: the limit on its time, its errors, and configuration made
//! once per generation of credentials.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    credentials::Credentials,
    reader::CredentialsReader,
    settings::{Built, SettingsError},
    verify::VerifyError,
};

/// A handshake that takes longer is given up, so that a peer that says nothing holds nothing.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no secured connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// We do not believe the peer, or expected another. The peer's fault.
    #[error(transparent)]
    Refused(#[from] VerifyError),
    /// TLS failed: the peer refused us, or the two have nothing in common.
    #[error("TLS failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection broke during the handshake: {0}")]
    Io(#[source] io::Error),
    /// The peer was too slow.
    #[error("the handshake took longer than {0:?}")]
    TimedOut(Duration),
    /// The current credentials make no configuration. Our own fault.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl HandshakeError {
    fn from_io(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(tls) => VerifyError::inside(tls)
                .map_or_else(|| Self::Tls(rustls::Error::clone(tls)), Self::Refused),
            None => Self::Io(error),
        }
    }
}

/// Waits for a handshake, but not forever.
pub(crate) async fn bounded<T>(
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeError> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(done) => done.map_err(HandshakeError::from_io),
        Err(_) => Err(HandshakeError::TimedOut(HANDSHAKE_TIMEOUT)),
    }
}

/// A rustls configuration that is made anew when the credentials it came from were replaced.
///
/// The lock is held for a pointer's copy, once per handshake, which itself costs a thousand times
/// as much; requests never come here.
#[derive(Debug)]
pub(crate) struct PerGeneration<C> {
    reader: Option<CredentialsReader>,
    built: RwLock<Built<C>>,
}

impl<C> PerGeneration<C> {
    pub(crate) fn new(reader: Option<CredentialsReader>, first: Built<C>) -> Self {
        Self {
            reader,
            built: RwLock::new(first),
        }
    }

    /// The configuration for the credentials in force, made by `build` if they are new.
    pub(crate) fn current(
        &self,
        build: impl FnOnce() -> Result<Built<C>, SettingsError>,
    ) -> Result<Arc<C>, SettingsError> {
        {
            let built = self.built.read().unwrap_or_else(PoisonError::into_inner);
            if self.is_current(built.1.as_ref()) {
                return Ok(Arc::clone(&built.0));
            }
        }
        let fresh = build()?;
        let config = Arc::clone(&fresh.0);
        *self.built.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(config)
    }

    fn is_current(&self, used: Option<&Arc<Credentials>>) -> bool {
        match (&self.reader, used) {
            (Some(reader), Some(used)) => Arc::ptr_eq(&reader.current(), used),
            _ => true,
        }
    }
}

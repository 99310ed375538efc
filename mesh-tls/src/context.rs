//! Cryptography and clock, passed in as one value.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    time_provider::{DefaultTimeProvider, TimeProvider},
};

/// The last second that a certificate can name (RFC 5280, section 4.1.2.5), in Unix time.
const END_OF_9999: u64 = 253_402_300_799;

/// The two things of the outside world that TLS needs: a crypto provider and a wall clock.
#[derive(Clone)]
pub struct TlsContext {
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn TimeProvider>,
}

impl TlsContext {
    /// A given provider, with the clock of the system.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            clock: Arc::new(DefaultTimeProvider),
        }
    }

    /// AWS-LC, with the clock of the system: what the binaries use.
    pub fn aws_lc() -> Self {
        Self::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    }

    /// The same provider with another clock.
    pub fn with_clock(self, clock: Arc<dyn TimeProvider>) -> Self {
        Self { clock, ..self }
    }

    /// The crypto provider.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The wall clock.
    pub fn clock(&self) -> &Arc<dyn TimeProvider> {
        &self.clock
    }

    /// What the wall clock shows. A clock that fails shows the distant future, in which every
    /// certificate has expired: failing closed.
    pub fn now(&self) -> SystemTime {
        let seconds = self.clock.current_time().map(|time| time.as_secs());
        let since_epoch = Duration::from_secs(seconds.unwrap_or(END_OF_9999));
        SystemTime::UNIX_EPOCH + since_epoch
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

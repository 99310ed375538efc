use std::{fmt, str::FromStr, sync::Arc};

/// The authority part of a SPIFFE ID: whoever holds its root key decides who is who.
///
/// Grammar of the SPIFFE ID specification, section 2.1: 1 to 255 bytes of `[a-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// Why a text is not a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustDomainError {
    /// Nothing stands where the trust domain should.
    #[error("the trust domain is empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("the trust domain is longer than {max} bytes", max = TrustDomain::MAX_LEN)]
    TooLong,
    /// A character outside `[a-z0-9._-]`.
    #[error("the trust domain contains {0:?}; allowed are a-z, 0-9, '.', '-' and '_'")]
    Character(char),
}

impl TrustDomain {
    /// The longest trust domain the specification allows, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Parses a trust domain.
    pub fn new(text: &str) -> Result<Self, TrustDomainError> {
        if text.is_empty() {
            return Err(TrustDomainError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(TrustDomainError::TooLong);
        }
        match text.chars().find(|&c| !is_allowed(c)) {
            Some(c) => Err(TrustDomainError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The text, as it stands in a SPIFFE ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Istio's default, `cluster.local`.
impl Default for TrustDomain {
    fn default() -> Self {
        Self("cluster.local".into())
    }
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_')
}

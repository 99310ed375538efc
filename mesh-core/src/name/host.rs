use std::{fmt, str::FromStr, sync::Arc};

/// A DNS name a caller may use, exact or with one wildcard label in front (`*.example.com`, `*`).
///
/// Ordered most specific first, as Istio and the Gateway API choose among hosts: exact names
/// before wildcards, longer before shorter, then by text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Host(Arc<str>);

/// Why a text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Nothing stands where the host should.
    #[error("the host is empty")]
    Empty,
    /// Longer than a DNS name may be (253 bytes).
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// A `*` anywhere but as the whole first label.
    #[error("a wildcard may only be the whole first label, as in \"*.example.com\"")]
    Wildcard,
    /// Two dots in a row, or one at an end.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A character that no host name has.
    #[error("the host contains {0:?}")]
    Character(char),
}

impl Host {
    /// The longest host, in bytes (RFC 1035, section 2.3.4, in text form).
    pub const MAX_LEN: usize = 253;

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `*` or starts with `*.`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether a short name (`reviews`) that means a service of some namespace.
    pub fn is_short(&self) -> bool {
        !self.0.contains('.') && !self.is_wildcard()
    }

    /// Whether every name that `other` stands for is also one of this host's.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => {
                let tail = other.0.strip_prefix('*').unwrap_or(&other.0);
                tail.ends_with(suffix) && (other.is_wildcard() || tail.len() > suffix.len())
            }
            None => self == other,
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(HostError::TooLong);
        }
        let name = match text.strip_prefix('*') {
            Some("") => return Ok(Self("*".into())),
            Some(rest) => rest.strip_prefix('.').ok_or(HostError::Wildcard)?,
            None => text,
        };
        for label in name.split('.') {
            if label.is_empty() {
                return Err(HostError::EmptyLabel);
            }
            if label.contains('*') {
                return Err(HostError::Wildcard);
            }
            if let Some(c) = label.chars().find(|&c| !is_allowed(c)) {
                return Err(HostError::Character(c));
            }
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl Ord for Host {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |host: &Self| (host.is_wildcard(), std::cmp::Reverse(host.0.len()));
        key(self)
            .cmp(&key(other))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Host {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn grammar() {
        use HostError::*;
        for (text, want) in [
            ("", Empty),
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("a.*.b", Wildcard),
            ("*a.b", Wildcard),
            ("a b", Character(' ')),
            ("a:80", Character(':')),
        ] {
            assert_eq!(text.parse::<Host>(), Err(want), "{text}");
        }
        assert_eq!(host("Reviews.Default").as_str(), "reviews.default");
    }

    #[test]
    fn most_specific_first() {
        let mut hosts = ["*", "*.com", "b.com", "*.a.com", "www.b.com"].map(host);
        hosts.sort();
        assert_eq!(
            hosts.map(|h| h.to_string()),
            ["www.b.com", "b.com", "*.a.com", "*.com", "*"]
        );
    }

    #[test]
    fn covering() {
        for (wide, narrow, want) in [
            ("*", "a", true),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "*.b.a.com", true),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.b.a.com", "*.a.com", false),
            ("a.com", "a.com", true),
            ("a.com", "*", false),
        ] {
            assert_eq!(host(wide).covers(&host(narrow)), want, "{wide} {narrow}");
        }
    }
}

//! What may be issued, and for how long.

use std::time::Duration;

/// How long certificates are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuancePolicy {
    /// Lifetime for those who do not ask for one. Istio's `DEFAULT_WORKLOAD_CERT_TTL`, 24 h.
    pub default_lifetime: Duration,
    /// Nobody gets more. Istio's `MAX_WORKLOAD_CERT_TTL`, 90 days.
    pub max_lifetime: Duration,
    /// Validity begins this long before the moment of issuing, for clocks that lag. Istio's 2 min.
    pub backdate: Duration,
}

impl Default for IssuancePolicy {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            default_lifetime: 24 * HOUR,
            max_lifetime: 90 * 24 * HOUR,
            backdate: Duration::from_secs(120),
        }
    }
}

impl IssuancePolicy {
    /// The lifetime given to somebody who asks for `asked`; zero counts as not asking.
    pub fn lifetime(&self, asked: Option<Duration>) -> Duration {
        asked
            .filter(|asked| !asked.is_zero())
            .unwrap_or(self.default_lifetime)
            .min(self.max_lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes() {
        let check = |asked: Option<u64>, hours: u64| {
            let lifetime = IssuancePolicy::default().lifetime(asked.map(Duration::from_secs));
            assert_eq!(lifetime.as_secs(), hours * 3600, "{asked:?}");
        };
        check(None, 24);
        check(Some(0), 24);
        check(Some(3600), 1);
        check(Some(u64::MAX), 90 * 24);
    }
}

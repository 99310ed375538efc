//! What can go wrong with a request: whose fault it is, and what logs call it.

use std::{borrow::Cow, fmt};

use mesh_core::dataplane::Name;
use mesh_routing::access::token::TokenError;

/// Why a request was not answered by its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No rule is for it.
    NoRoute,
    /// Its rule names a cluster that does not exist.
    NoCluster {
        /// The status the rule wants.
        status: u16,
    },
    /// Its cluster has no instance to call.
    NoHealthyUpstream,
    /// Its cluster has all it may be given at once.
    Overflow,
    /// The instance cannot be reached.
    ConnectFailure {
        /// What the network or TLS said.
        reason: String,
    },
    /// The connection ended before the answer.
    UpstreamReset {
        /// What the connection said.
        reason: String,
    },
    /// The route's time is over.
    Timeout,
    /// One attempt's time is over.
    PerTryTimeout,
    /// Nothing moved on the stream for too long.
    IdleTimeout,
    /// The caller may not do this.
    AccessDenied {
        /// The policy that said so; none when no ALLOW policy matched.
        policy: Option<Name>,
    },
    /// It brings a token that is not accepted.
    TokenRefused {
        /// What is wrong with it.
        error: TokenError,
    },
    /// It is beyond a limit.
    RateLimited {
        /// The status the limit's resource wants.
        status: u16,
    },
    /// Aborted on purpose.
    FaultAbort {
        /// The status the rule wants.
        status: u16,
    },
    /// The request cannot be understood.
    BadRequest {
        /// What is wrong, as Envoy names it.
        detail: &'static str,
    },
    /// The request has more headers than are taken.
    TooManyHeaders,
    /// The protocol it asks to switch to is not offered.
    UpgradeRefused,
}

/// Envoy's response flags: a set of short reasons.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResponseFlags(u16);

impl ResponseFlags {
    /// The caller went away.
    pub const DOWNSTREAM_TERMINATION: Self = Self(1 << 0);
    /// No healthy upstream.
    pub const NO_HEALTHY_UPSTREAM: Self = Self(1 << 1);
    /// The upstream took too long.
    pub const UPSTREAM_TIMEOUT: Self = Self(1 << 2);
    /// The upstream could not be reached.
    pub const UPSTREAM_CONNECT_FAILURE: Self = Self(1 << 3);
    /// The upstream's connection ended.
    pub const UPSTREAM_TERMINATION: Self = Self(1 << 4);
    /// The upstream has all it may be given.
    pub const UPSTREAM_OVERFLOW: Self = Self(1 << 5);
    /// No route.
    pub const NO_ROUTE: Self = Self(1 << 6);
    /// The attempts are used up.
    pub const RETRY_LIMIT: Self = Self(1 << 7);
    /// Delayed on purpose.
    pub const DELAY_INJECTED: Self = Self(1 << 8);
    /// Aborted on purpose.
    pub const FAULT_INJECTED: Self = Self(1 << 9);
    /// No cluster.
    pub const NO_CLUSTER: Self = Self(1 << 10);
    /// Nothing moved for too long.
    pub const STREAM_IDLE: Self = Self(1 << 11);
    /// The caller broke the protocol.
    pub const DOWNSTREAM_PROTOCOL: Self = Self(1 << 12);
    /// Beyond a limit.
    pub const RATE_LIMITED: Self = Self(1 << 13);

    const NAMES: [&'static str; 14] = [
        "DC", "UH", "UT", "UF", "UC", "UO", "NR", "URX", "DI", "FI", "NC", "SI", "DPE", "RL",
    ];

    /// The number of each in Envoy's own set of flags, in the order of the names.
    const ENVOY: [u32; 14] = [14, 1, 2, 5, 6, 7, 8, 15, 9, 10, 24, 16, 18, 11];

    /// The set as the number by which Envoy tells it: its attribute `response.flags`.
    pub fn envoy_bits(self) -> u32 {
        let numbers = Self::ENVOY.iter().enumerate();
        let set = numbers.filter(|(bit, _)| self.0 & (1 << bit) != 0);
        set.fold(0, |bits, (_, number)| bits | 1 << number)
    }

    /// Adds those of another set.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of these short names is set; any, if the list is empty.
    pub fn matches(self, names: &[String]) -> bool {
        if names.is_empty() {
            return !self.is_empty();
        }
        self.names()
            .any(|name| names.iter().any(|wanted| wanted == name))
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|x| *x.1)
    }
}

/// Short names joined by commas, `-` for none.
impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (index, name) in self.names().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Failure {
    /// What access logs show as flag.
    pub fn flags(&self) -> ResponseFlags {
        match self {
            Self::NoRoute => ResponseFlags::NO_ROUTE,
            Self::NoCluster { .. } => ResponseFlags::NO_CLUSTER,
            Self::NoHealthyUpstream => ResponseFlags::NO_HEALTHY_UPSTREAM,
            Self::Overflow => ResponseFlags::UPSTREAM_OVERFLOW,
            Self::ConnectFailure { .. } => ResponseFlags::UPSTREAM_CONNECT_FAILURE,
            Self::UpstreamReset { .. } => ResponseFlags::UPSTREAM_TERMINATION,
            Self::Timeout | Self::PerTryTimeout => ResponseFlags::UPSTREAM_TIMEOUT,
            Self::IdleTimeout => ResponseFlags::STREAM_IDLE,
            Self::FaultAbort { .. } => ResponseFlags::FAULT_INJECTED,
            Self::BadRequest { .. } | Self::TooManyHeaders => ResponseFlags::DOWNSTREAM_PROTOCOL,
            Self::RateLimited { .. } => ResponseFlags::RATE_LIMITED,
            Self::AccessDenied { .. } | Self::TokenRefused { .. } | Self::UpgradeRefused => {
                ResponseFlags::default()
            }
        }
    }

    /// What access logs show as `RESPONSE_CODE_DETAILS`.
    pub fn details(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NoRoute => "route_not_found",
            Self::NoCluster { .. } => "cluster_not_found",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::Overflow => "upstream_reset_before_response_started{overflow}",
            Self::ConnectFailure { .. } => {
                "upstream_reset_before_response_started{connection_failure}"
            }
            Self::UpstreamReset { .. } => {
                "upstream_reset_before_response_started{connection_termination}"
            }
            Self::Timeout => "response_timeout",
            Self::PerTryTimeout => "upstream_per_try_timeout",
            Self::IdleTimeout => "stream_idle_timeout",
            Self::FaultAbort { .. } => "fault_filter_abort",
            Self::BadRequest { detail } => detail,
            Self::TooManyHeaders => "http2.too_many_headers",
            Self::UpgradeRefused => "upgrade_failed",
            Self::RateLimited { .. } => "local_rate_limited",
            // As Envoy has it: without spaces, for they part the fields of a log.
            Self::TokenRefused { error } => {
                let error = error.to_string().replace(' ', "_");
                return Cow::Owned(format!("jwt_authn_access_denied{{{error}}}"));
            }
            Self::AccessDenied { policy } => {
                let policy = policy.as_deref().unwrap_or("none");
                return Cow::Owned(format!("rbac_access_denied_matched_policy[{policy}]"));
            }
        })
    }

    /// What the network said, for logs.
    pub fn transport_reason(&self) -> Option<&str> {
        match self {
            Self::ConnectFailure { reason } | Self::UpstreamReset { reason } => Some(reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_envoy_does() {
        let mut flags = ResponseFlags::default();
        assert_eq!(flags.to_string(), "-");
        flags.insert(ResponseFlags::UPSTREAM_CONNECT_FAILURE);
        flags.insert(ResponseFlags::RETRY_LIMIT);
        assert_eq!(flags.to_string(), "UF,URX");
        assert!(flags.matches(&["URX".into()]));
        assert!(!flags.matches(&["NR".into()]));
        assert!(flags.matches(&[]));
        assert_eq!(flags.envoy_bits(), 0x20 | 0x8000);
    }
}

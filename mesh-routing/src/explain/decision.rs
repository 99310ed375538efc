use std::fmt;

use mesh_core::dataplane::Origin;
use serde::Serialize;

/// What becomes of a connection or request at one proxy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// How it ends here.
    pub outcome: Outcome,
    /// The HTTP status the proxy answers with; none where it passes the answer of another on, or
    /// has no way to answer.
    pub status: Option<u16>,
    /// Envoy's response flags, empty for none.
    pub flags: Vec<&'static str>,
    /// Envoy's `RESPONSE_CODE_DETAILS`, empty where there is none.
    pub details: String,
    /// The policy that denies; none where nothing denies, or where no policy allows.
    pub denied_by: Option<Origin>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// Headers of the proxy's own answer.
    pub headers: Vec<(String, String)>,
    /// The same for a person, in one sentence.
    pub reason: String,
}

/// How something ends at one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is passed on.
    Forwarded,
    /// The caller is sent elsewhere.
    Redirected,
    /// The proxy answers itself: on purpose, by a fault, or because the request is broken.
    Answered,
    /// A policy forbids it.
    Denied,
    /// The connection is not taken: no listener, no chain, or TLS fails.
    Refused,
    /// There is no route, no cluster, or no instance that may be called.
    Unavailable,
}

impl Decision {
    pub(crate) fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            status: None,
            flags: Vec::new(),
            details: String::new(),
            denied_by: None,
            location: None,
            headers: Vec::new(),
            reason: reason.into(),
        }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub(crate) fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }
}

/// `denied`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forwarded => "forwarded",
            Self::Redirected => "redirected",
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        })
    }
}

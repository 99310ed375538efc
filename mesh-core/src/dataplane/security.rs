use std::fmt;

use serde::Serialize;

use super::Name;
use crate::name::Pattern;

/// How a chain ends TLS (Envoy's `DownstreamTlsContext`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerTls {
    /// The certificates to show.
    pub certificates: Vec<SecretSource>,
    /// How callers' certificates are checked; none accepts no identity.
    pub validation: Option<PeerValidation>,
    /// Refuse callers without a certificate.
    pub require_client_certificate: bool,
    /// Protocols offered, best first.
    pub alpn: Vec<String>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
}

/// How a cluster starts TLS (Envoy's `UpstreamTlsContext`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientTls {
    /// The certificates to show, if asked.
    pub certificates: Vec<SecretSource>,
    /// How instances' certificates are checked; none accepts any.
    pub validation: Option<PeerValidation>,
    /// The server name to ask for; none leaves SNI out.
    pub sni: Option<Name>,
    /// Ask for the request's host.
    pub auto_sni: bool,
    /// Protocols offered, best first.
    pub alpn: Vec<String>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
}

/// How the other side's certificate is checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerValidation {
    /// The roots to trust.
    pub roots: SecretSource,
    /// Names of which the certificate must carry one; none accepts any that chains to a root.
    pub names: Vec<SanMatch>,
    /// Accept a certificate that carries the host that was asked for.
    pub match_requested_host: bool,
}

/// A condition on a subject alternative name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SanMatch {
    /// A URI, such as a SPIFFE ID.
    Uri(Pattern),
    /// A DNS name.
    Dns(Pattern),
}

/// Where a certificate or bundle comes from.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// From the secrets of the snapshot, or the workload's own (`default`, `ROOTCA`), by name.
    Named(Name),
    /// Given in place.
    Inline(SecretValue),
    /// From files: a bundle, or a chain and its key.
    Files {
        /// PEM certificates.
        certificates: String,
        /// PEM key; none for a bundle.
        key: Option<String>,
    },
}

/// A certificate or bundle with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Unique name.
    pub name: Name,
    /// What it is.
    pub value: SecretValue,
}

/// A certificate or bundle. Keys are shown nowhere: not in `Debug`, not in dumps.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretValue {
    /// A certificate chain and its key.
    Certificate {
        /// PEM, leaf first.
        chain: String,
        /// PEM.
        #[serde(skip)]
        key: String,
    },
    /// Roots to trust.
    TrustBundle {
        /// PEM.
        roots: String,
    },
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

impl SecretSource {
    /// The workload's own certificate, as Istio names it.
    pub fn own_certificate() -> Self {
        Self::Named("default".into())
    }

    /// The mesh's roots, as Istio names them.
    pub fn mesh_roots() -> Self {
        Self::Named("ROOTCA".into())
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.debug_tuple("Named").field(name).finish(),
            Self::Inline(value) => f.debug_tuple("Inline").field(value).finish(),
            Self::Files { certificates, .. } => f.debug_tuple("Files").field(certificates).finish(),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate(redacted)",
            Self::TrustBundle { .. } => "TrustBundle",
        })
    }
}

//! The verified other side of a connection.

use std::{fmt, sync::Arc};

use mesh_core::identity::SpiffeId;
use rustls::{
    CommonState, ProtocolVersion,
    crypto::{CryptoProvider, hash::HashAlgorithm},
};
use rustls_pki_types::CertificateDer;

use crate::{certificate::LeafFacts, svid};

/// Who is at the other end, and what the handshake agreed on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The verified identity; `None` if the peer is no workload of the mesh, or showed nothing.
    pub identity: Option<SpiffeId>,
    /// The certificate the peer showed. It has been verified, except for a client that talks to
    /// [`WebServers::Anybody`](crate::WebServers::Anybody).
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The server name that was called, if any.
    pub server_name: Option<Arc<str>>,
    /// The application protocol agreed on, if any.
    pub alpn: Option<Arc<[u8]>>,
    /// The version of TLS.
    pub version: TlsVersion,
}

/// The leaf a peer showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate itself.
    pub der: CertificateDer<'static>,
    /// What it says: names, validity, serial number.
    pub facts: LeafFacts,
    /// SHA-256 of the certificate: `Hash` of `x-forwarded-client-cert`.
    pub sha256: [u8; 32],
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// As Envoy prints it: `TLSv1.3`.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

impl Peer {
    /// Reads the outcome of a finished handshake. `in_mesh` says that the verifier has applied the
    /// SVID rules, so that the certificate's URI is an identity and not just a name.
    pub(crate) fn of(
        connection: &CommonState,
        server_name: Option<&str>,
        in_mesh: bool,
        provider: &CryptoProvider,
    ) -> Self {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        Self {
            identity: leaf
                .filter(|_| in_mesh)
                .and_then(|leaf| svid::identity_of(leaf).ok()),
            certificate: leaf
                .and_then(|leaf| PeerCertificate::of(leaf, provider))
                .map(Arc::new),
            server_name: server_name.map(Arc::from),
            alpn: connection.alpn_protocol().map(Arc::from),
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
        }
    }
}

impl PeerCertificate {
    fn of(leaf: &CertificateDer<'_>, provider: &CryptoProvider) -> Option<Self> {
        Some(Self {
            facts: LeafFacts::of(leaf).ok()?,
            sha256: sha256(leaf, provider)?,
            der: leaf.clone().into_owned(),
        })
    }
}

/// SHA-256 by the provider in use, found through one of its TLS 1.3 suites.
fn sha256(bytes: &[u8], provider: &CryptoProvider) -> Option<[u8; 32]> {
    let hash = provider
        .cipher_suites
        .iter()
        .filter_map(|suite| suite.tls13())
        .map(|suite| suite.common.hash_provider)
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)?;
    hash.hash(bytes).as_ref().try_into().ok()
}

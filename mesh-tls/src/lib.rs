#![doc = include_str!("../README.md")]

mod accept;
mod bundle;
mod certificate;
mod connect;
mod context;
mod credentials;
mod files;
#[cfg(feature = "grpc")]
pub mod grpc;
mod handshake;
mod keeper;
mod peer;
mod reader;
mod schedule;
mod settings;
mod signatures;
pub mod sniff;
mod source;
pub mod svid;
mod verify;
mod web;

pub use accept::Acceptor;
pub use bundle::{BundleError, TrustBundles};
pub use certificate::{CertificateError, KeyedCertificate, LeafFacts, certificates_from_pem};
pub use connect::Connector;
pub use context::TlsContext;
pub use credentials::{Credentials, CredentialsError};
pub use files::CredentialsFiles;
pub use handshake::{HANDSHAKE_TIMEOUT, HandshakeError};
pub use keeper::{CredentialsKeeper, KeeperEvent};
pub use peer::{Peer, PeerCertificate, TlsVersion};
pub use reader::{CredentialsReader, CredentialsWriter};
pub use schedule::RenewalSchedule;
pub use settings::{
    ClientSecurity, ClientSettings, MeshClients, ServerSecurity, ServerSettings, SettingsError,
    TlsVersions, WebClients, WebServers,
};
pub use sniff::{ClientHello, Sniff, sniff};
pub use source::{CredentialsSource, SourceError};
pub use verify::{ExpectedIdentities, PeerRole, SvidVerifier, VerifyError};
pub use web::{RootsError, WebRoots};

pub use rustls_pki_types::CertificateDer;
pub use tokio_rustls::TlsStream;

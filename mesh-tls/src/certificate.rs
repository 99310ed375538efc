//! Identity and validity of a certificate, and a chain together with its key.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// Why a certificate, a chain or a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate where at least one is needed.
    #[error("there is no certificate")]
    NoCertificate,
    /// There is no private key in the PEM text.
    #[error("there is no private key")]
    NoKey,
    /// The text is not PEM.
    #[error("the PEM text is malformed: {0}")]
    Pem(String),
    /// The bytes are not an X.509 certificate.
    #[error("the certificate is malformed: {0}")]
    Der(String),
    /// The key is of no supported kind, or belongs to another certificate.
    #[error("the private key does not fit: {0}")]
    Key(String),
}

/// What a person wants to know about a certificate: whose it is and how long it holds.
///
/// Nothing here is verified; it is what the certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafFacts {
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// The subject's distinguished name; empty for most SVIDs.
    pub subject: String,
    /// First moment of validity.
    pub not_before: SystemTime,
    /// Last moment of validity.
    pub not_after: SystemTime,
    /// URI names, among them the SPIFFE ID.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

impl LeafFacts {
    /// Reads a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| CertificateError::Der(error.to_string()))?;
        let mut facts = Self {
            serial: parsed.tbs_certificate.serial.to_str_radix(16),
            subject: parsed.subject().to_string(),
            not_before: system_time(parsed.validity().not_before.timestamp()),
            not_after: system_time(parsed.validity().not_after.timestamp()),
            uris: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
        };
        for extension in parsed.extensions() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                names.general_names.iter().for_each(|name| facts.add(name));
            }
        }
        Ok(facts)
    }

    /// How long the certificate is valid in all.
    pub fn lifetime(&self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }

    /// How long it is still valid; zero once expired.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
            _ => {}
        }
    }
}

/// A certificate chain, leaf first, with the private key of the leaf.
///
/// The key has been loaded into the crypto provider and cannot be taken out again.
#[derive(Clone)]
pub struct KeyedCertificate {
    key: CertifiedKey,
    facts: Arc<LeafFacts>,
}

impl KeyedCertificate {
    /// Puts a chain and its key together; refuses a key of another certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::NoCertificate)?;
        let facts = LeafFacts::of(leaf)?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| CertificateError::Key(error.to_string()))?;
        Ok(Self {
            key,
            facts: Arc::new(facts),
        })
    }

    /// The same from PEM: the chain with its leaf first, and the key (PKCS#8, SEC1 or PKCS#1).
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, CertificateError> {
        let chain = certificates_from_pem(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls_pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            other => CertificateError::Pem(other.to_string()),
        })?;
        Self::new(chain, key, provider)
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// What the leaf says about itself.
    pub fn facts(&self) -> &LeafFacts {
        &self.facts
    }

    /// Shows this certificate in every handshake.
    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(self.key.clone()))
    }
}

impl fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCertificate")
            .field("leaf", &self.facts)
            .field("certificates", &self.key.cert.len())
            .field("key", &"(secret)")
            .finish()
    }
}

/// Every certificate of a PEM text, in its order; at least one.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::Pem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(certificates)
}

fn system_time(unix_seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    let moment = if unix_seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

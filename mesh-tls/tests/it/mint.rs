//! Certificates for tests, good and bad.

use std::time::{Duration, SystemTime};

use mesh_core::identity::TrustDomain;
use mesh_tls::{CertificateDer, Credentials, KeyedCertificate, TlsContext, TrustBundles};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

pub(crate) const SAN: [u64; 4] = [2, 5, 29, 17];
pub(crate) const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
/// Tags of names in a SAN (RFC 5280, section 4.2.1.6).
pub(crate) const DNS: u8 = 0x82;
pub(crate) const URI: u8 = 0x86;

/// A self-made authority.
pub(crate) struct Signer {
    pub(crate) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    pub(crate) fn root() -> Self {
        Self::root_with(|_| {})
    }

    pub(crate) fn root_with(alter: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = Self::params(alter);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    pub(crate) fn intermediate(&self, alter: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = Self::params(alter);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let certificate = signed.der().clone();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    fn params(alter: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "test mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        alter(&mut params);
        (params, KeyPair::generate().unwrap())
    }

    /// A leaf that follows every rule, until altered.
    pub(crate) fn leaf(
        &self,
        uri: &str,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
        params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
        params.custom_extensions = vec![names(&[(URI, uri.as_bytes())], true)];
        alter(&mut params);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().clone(), key)
    }

    pub(crate) fn keyed(
        &self,
        uri: &str,
        alter: impl FnOnce(&mut CertificateParams),
    ) -> KeyedCertificate {
        let (leaf, key) = self.leaf(uri, alter);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = TlsContext::aws_lc();
        KeyedCertificate::new(vec![leaf], key.into(), provider.provider()).unwrap()
    }

    /// Credentials that believe this signer for the trust domain `td`.
    pub(crate) fn credentials(&self, uri: &str) -> Credentials {
        Credentials::new(self.keyed(uri, |_| {}), self.bundles("td")).unwrap()
    }

    pub(crate) fn bundles(&self, trust_domain: &str) -> TrustBundles {
        let trust_domain = TrustDomain::new(trust_domain).unwrap();
        let roots = vec![self.certificate.clone()];
        TrustBundles::empty().with(trust_domain, roots).unwrap()
    }
}

/// A SAN extension with these names.
pub(crate) fn names(names: &[(u8, &[u8])], critical: bool) -> CustomExtension {
    let content: Vec<u8> = names
        .iter()
        .flat_map(|&(tag, name)| der(tag, name))
        .collect();
    extension(&SAN, der(0x30, &content), critical)
}

pub(crate) fn extension(oid: &[u64], content: Vec<u8>, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(critical);
    extension
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header: &[u8] = match content.len() {
        0..=127 => &[tag, length[1]],
        128..=255 => &[tag, 0x81, length[1]],
        _ => &[tag, 0x82, length[0], length[1]],
    };
    [header, content].concat()
}

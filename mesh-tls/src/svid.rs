//! The rules of the X.509-SVID specification, each with a name.

use mesh_core::identity::{SpiffeId, SpiffeIdError, TrustDomain, TrustDomainError};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, KeyUsage},
    prelude::FromDer,
};

/// A rule of the X.509-SVID specification that a certificate breaks.
///
/// Section numbers refer to `X509-SVID.md` of the SPIFFE standards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenRule {
    /// Not X.509 version 3, or an extension is malformed or repeated.
    #[error("not a well-formed X.509 version 3 certificate: {0}")]
    Malformed(String),
    /// Section 2: exactly one URI name.
    #[error("an SVID has exactly one URI name; this certificate has {0}")]
    OneUri(usize),
    /// Section 2 and SPIFFE-ID: the URI name follows the grammar to the letter.
    #[error("the URI name is not a workload's SPIFFE ID: {0}")]
    Identity(#[from] SpiffeIdError),
    /// RFC 5280 section 4.2.1.6: names are critical when the subject is empty.
    #[error("the subject is empty, but the alternative names are not critical")]
    NamesNotCritical,
    /// Section 4.1: a leaf is no authority.
    #[error("a leaf must not be a certificate authority")]
    LeafIsAuthority,
    /// Section 4.3: key usage must be there.
    #[error("key usage is missing")]
    NoKeyUsage,
    /// Section 4.3: key usage must be critical.
    #[error("key usage is not critical")]
    KeyUsageNotCritical,
    /// Section 4.3: a leaf must be able to sign a handshake.
    #[error("a leaf must have the key usage digitalSignature")]
    NoDigitalSignature,
    /// Section 4.3: a leaf must not sign certificates.
    #[error("a leaf must not have the key usage keyCertSign")]
    LeafSignsCertificates,
    /// Section 4.3: a leaf must not sign revocation lists.
    #[error("a leaf must not have the key usage cRLSign")]
    LeafSignsRevocationLists,
    /// Section 4.4: if extended key usage is there, it has both.
    #[error("extended key usage must name both serverAuth and clientAuth")]
    HalfExtendedKeyUsage,
    /// Section 4.1: a signing certificate is an authority.
    #[error("a signing certificate must be a certificate authority")]
    SignerIsNoAuthority,
    /// Section 4.3: a signing certificate may sign certificates.
    #[error("a signing certificate must have the key usage keyCertSign")]
    SignerCannotSign,
    /// Section 3.2: a signing certificate that has an identity is a trust domain, without a path.
    #[error("a signing certificate must not have an identity with a path")]
    SignerHasPath,
    /// SPIFFE-ID section 2.1, in the identity of a signing certificate.
    #[error("the identity of a signing certificate is malformed: {0}")]
    SignerIdentity(TrustDomainError),
}

/// Reads the identity out of a leaf, applying every rule that can be judged without its issuer.
pub fn identity_of(leaf: &CertificateDer<'_>) -> Result<SpiffeId, BrokenRule> {
    let leaf = parse(leaf)?;
    let uri = only_uri(&leaf)?;
    let identity = uri.parse()?;
    if leaf.is_ca() {
        return Err(BrokenRule::LeafIsAuthority);
    }
    check_leaf_key_usage(&leaf)?;
    check_extended_key_usage(&leaf)?;
    Ok(identity)
}

/// Applies the rules for a certificate that signs others: an intermediate or a root.
pub fn check_signer(certificate: &CertificateDer<'_>) -> Result<(), BrokenRule> {
    let signer = parse(certificate)?;
    if !signer.is_ca() {
        return Err(BrokenRule::SignerIsNoAuthority);
    }
    if !key_usage(&signer)?.is_some_and(|(usage, _)| usage.key_cert_sign()) {
        return Err(BrokenRule::SignerCannotSign);
    }
    for uri in uris(&signer)?.0 {
        check_signer_identity(uri)?;
    }
    Ok(())
}

/// A signer may carry URIs of other schemes (a CA of the web does); only SPIFFE ones are judged.
fn check_signer_identity(uri: &str) -> Result<(), BrokenRule> {
    let Some(rest) = uri.strip_prefix("spiffe://") else {
        return Ok(());
    };
    match rest.split_once('/') {
        Some((_, path)) if !path.is_empty() => Err(BrokenRule::SignerHasPath),
        split => {
            let authority = split.map_or(rest, |(authority, _)| authority);
            TrustDomain::new(authority)
                .map(drop)
                .map_err(BrokenRule::SignerIdentity)
        }
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, BrokenRule> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| BrokenRule::Malformed(error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow the certificate"));
    }
    if certificate.version() != x509_parser::x509::X509Version::V3 {
        return Err(malformed("not version 3"));
    }
    certificate
        .extensions_map()
        .map_err(|_| malformed("an extension is repeated"))?;
    Ok(certificate)
}

fn only_uri<'a>(leaf: &'a X509Certificate<'_>) -> Result<&'a str, BrokenRule> {
    let (uris, critical) = uris(leaf)?;
    let [uri] = uris[..] else {
        return Err(BrokenRule::OneUri(uris.len()));
    };
    if !critical && leaf.subject().iter().next().is_none() {
        return Err(BrokenRule::NamesNotCritical);
    }
    Ok(uri)
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<(Vec<&'a str>, bool), BrokenRule> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| malformed("the alternative names cannot be read"))?;
    let Some(names) = names else {
        return Ok((Vec::new(), false));
    };
    let mut uris = Vec::new();
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(malformed("an alternative name is malformed")),
            _ => {}
        }
    }
    Ok((uris, names.critical))
}

fn check_leaf_key_usage(leaf: &X509Certificate<'_>) -> Result<(), BrokenRule> {
    let (usage, critical) = key_usage(leaf)?.ok_or(BrokenRule::NoKeyUsage)?;
    match usage {
        _ if usage.key_cert_sign() => Err(BrokenRule::LeafSignsCertificates),
        _ if usage.crl_sign() => Err(BrokenRule::LeafSignsRevocationLists),
        _ if !usage.digital_signature() => Err(BrokenRule::NoDigitalSignature),
        _ if !critical => Err(BrokenRule::KeyUsageNotCritical),
        _ => Ok(()),
    }
}

fn key_usage<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<Option<(&'a KeyUsage, bool)>, BrokenRule> {
    certificate
        .key_usage()
        .map(|usage| usage.map(|usage| (usage.value, usage.critical)))
        .map_err(|_| malformed("key usage cannot be read"))
}

fn check_extended_key_usage(leaf: &X509Certificate<'_>) -> Result<(), BrokenRule> {
    let usage = leaf
        .extended_key_usage()
        .map_err(|_| malformed("extended key usage cannot be read"))?;
    match usage {
        Some(usage) if !(usage.value.server_auth && usage.value.client_auth) => {
            Err(BrokenRule::HalfExtendedKeyUsage)
        }
        _ => Ok(()),
    }
}

fn malformed(what: &str) -> BrokenRule {
    BrokenRule::Malformed(what.to_owned())
}

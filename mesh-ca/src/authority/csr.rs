use rcgen::{PublicKeyData, SubjectPublicKeyInfo};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

/// A certificate signing request (PKCS#10, RFC 2986) whose sender has proved to hold the key.
///
/// Only the public key is kept. Names and extensions that the request asks for are not read: who
/// the sender is, is for an attestor to say.
#[derive(Debug)]
pub struct Csr {
    public_key: SubjectPublicKeyInfo,
}

/// Why a request is refused. Always the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Longer than [`Csr::MAX_LEN`].
    #[error("the request is longer than {max} bytes", max = Csr::MAX_LEN)]
    TooLong,
    /// No PEM block `CERTIFICATE REQUEST`.
    #[error("there is no PEM block CERTIFICATE REQUEST")]
    Pem,
    /// Not PKCS#10.
    #[error("the request is malformed")]
    Malformed,
    /// The signature is not by the key in the request.
    #[error("the sender does not hold the key in the request")]
    NoPossession,
    /// Certificates are not issued for keys of this kind.
    #[error("keys of this kind are not supported")]
    KeyKind,
}

impl Csr {
    /// The longest request that is looked at, in bytes.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Reads a request in PEM.
    pub fn from_pem(text: &str) -> Result<Self, CsrError> {
        if text.len() > Self::MAX_LEN {
            return Err(CsrError::TooLong);
        }
        let block = pem::parse(text).map_err(|_| CsrError::Pem)?;
        // OpenSSL has long written the second name, too.
        match block.tag() {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Self::from_der(block.contents()),
            _ => Err(CsrError::Pem),
        }
    }

    /// Reads a request in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > Self::MAX_LEN {
            return Err(CsrError::TooLong);
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| CsrError::Malformed)?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed);
        }
        request
            .verify_signature()
            .map_err(|_| CsrError::NoPossession)?;
        let public_key = request.certification_request_info.subject_pki.raw;
        let public_key =
            SubjectPublicKeyInfo::from_der(public_key).map_err(|_| CsrError::KeyKind)?;
        Ok(Self { public_key })
    }

    pub(super) fn public_key(&self) -> &impl PublicKeyData {
        &self.public_key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn request() -> rcgen::CertificateSigningRequest {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["admin.example".to_owned()]).unwrap();
        params.serialize_request(&key).unwrap()
    }

    #[test]
    fn a_request_proves_possession() {
        let request = request();
        assert!(Csr::from_pem(&request.pem().unwrap()).is_ok());
        let mut forged = request.der().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let refusal = Csr::from_der(&forged).unwrap_err();
        assert_eq!(refusal, CsrError::NoPossession);
    }

    #[test]
    fn refusals() {
        let check = |text: &str, want| assert_eq!(Csr::from_pem(text).unwrap_err(), want, "{text}");
        check("", CsrError::Pem);
        check("hello", CsrError::Pem);
        let pem = request().pem().unwrap();
        check(
            &pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
            CsrError::Pem,
        );
        check(&"x".repeat(Csr::MAX_LEN + 1), CsrError::TooLong);
        let trailing = [request().der(), &b"x"[..]].concat();
        assert_eq!(Csr::from_der(&trailing).unwrap_err(), CsrError::Malformed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Csr::from_der(&bytes).is_err());
        }

        /// Not every byte is signed, but no change smuggles in another key.
        #[test]
        fn no_change_brings_another_key(at in 0usize..300, bit in 0u8..8) {
            let request = request();
            let key = Csr::from_der(request.der()).unwrap().public_key;
            let mut der = request.der().to_vec();
            let at = at % der.len();
            der[at] ^= 1 << bit;
            if let Ok(changed) = Csr::from_der(&der) {
                prop_assert_eq!(changed.public_key, key);
            }
        }
    }
}

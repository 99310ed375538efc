//! The messages of Istio's `istio.v1.auth.IstioCertificateService`, as they stand on the wire
//! (istio/api `security/v1alpha1/ca.proto`).

/// Asks for a certificate.
///
/// Field 4, `metadata`, is not read: whoever asks for another identity than its own gets its own.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CertificateRequest {
    /// The signing request, in PEM.
    #[prost(string, tag = "1")]
    pub(crate) csr: String,
    /// The lifetime asked for, in seconds; zero if there is no wish.
    #[prost(int64, tag = "3")]
    pub(crate) validity_duration: i64,
}

/// Gives one.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CertificateResponse {
    /// PEM texts, the leaf in the first and the root in the last.
    #[prost(string, repeated, tag = "1")]
    pub(crate) cert_chain: Vec<String>,
}

/// The service's name, as it stands in paths.
pub(crate) const SERVICE: &str = "istio.v1.auth.IstioCertificateService";
/// The path of its one method.
pub(crate) const CREATE_CERTIFICATE: &str =
    "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Messages are not longer than this, in bytes.
pub(crate) const MAX_MESSAGE_LEN: usize = 256 * 1024;

//! A `CredentialsSource` over Istio's signing service.

use std::{error::Error, fmt, time::Duration};

use mesh_core::identity::SpiffeId;
use mesh_tls::{
    CertificateDer, CertificateError, Credentials, CredentialsError, CredentialsSource,
    ExpectedIdentities, PeerRole, SourceError, SvidVerifier, TlsContext, TrustBundles, VerifyError,
    certificates_from_pem,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use crate::proto::{self, CertificateRequest, CertificateResponse};

/// A CA answers within this time, or is taken to be away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// More certificates in a chain are not looked at.
const MAX_CHAIN_LEN: usize = 16;

/// Gives the token to show. It is asked at every renewal, as platforms replace tokens in place.
pub type TokenSource = Box<dyn Fn() -> Result<String, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Obtains credentials for one identity from a CA.
///
/// Each time it makes a new key, which never leaves the process, and believes the answer only if
/// it carries exactly the expected identity and leads to a root that was known before.
pub struct CaClient {
    channel: Channel,
    identity: SpiffeId,
    bundles: TrustBundles,
    token: Option<TokenSource>,
    lifetime: Duration,
    context: TlsContext,
}

/// Why a CA gave no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaClientError {
    /// There is no token to show.
    #[error("there is no token: {0}")]
    Token(#[source] Box<dyn Error + Send + Sync>),
    /// No key or request could be made.
    #[error("no key could be made: {0}")]
    Key(String),
    /// The CA answered no, or not at all.
    #[error("the CA said {code:?}: {message}", code = .0.code(), message = .0.message())]
    Call(Box<Status>),
    /// The chain cannot be read.
    #[error("the CA's answer cannot be read: {0}")]
    Answer(#[from] CertificateError),
    /// The chain is longer than any should be.
    #[error("the CA's chain has more than {MAX_CHAIN_LEN} certificates")]
    LongChain,
    /// The chain is not what was asked for.
    #[error("the CA's answer is not believed: {0}")]
    Verify(#[from] VerifyError),
    /// The chain and the key are not usable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl CaClient {
    /// A client that shows the certificate of its connection, if `channel` has one.
    ///
    /// `bundles` are the roots known to begin with.
    pub fn new(
        channel: Channel,
        identity: SpiffeId,
        bundles: TrustBundles,
        context: TlsContext,
    ) -> Self {
        Self {
            channel,
            identity,
            bundles,
            token: None,
            lifetime: Duration::ZERO,
            context,
        }
    }

    /// Shows a token.
    pub fn with_token(self, token: TokenSource) -> Self {
        let token = Some(token);
        Self { token, ..self }
    }

    /// Asks for a lifetime; without, the CA chooses.
    pub fn with_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime, ..self }
    }

    async fn obtain(&self) -> Result<Credentials, CaClientError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(no_key)?;
        let request = self.request(&key)?;
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, self.call(request)).await {
            Ok(answer) => answer?,
            Err(_) => Err(Status::deadline_exceeded("no answer in time"))?,
        };
        let chain = self.verified_chain(&answer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = self.context.provider();
        let bundles = self.bundles.clone();
        Ok(Credentials::from_der(chain, key.into(), bundles, provider)?)
    }

    fn request(&self, key: &KeyPair) -> Result<Request<CertificateRequest>, CaClientError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uri = self.identity.as_str().try_into().map_err(no_key)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let csr = params.serialize_request(key).and_then(|csr| csr.pem());
        let mut request = Request::new(CertificateRequest {
            csr: csr.map_err(no_key)?,
            validity_duration: self.lifetime.as_secs().try_into().unwrap_or(i64::MAX),
        });
        if let Some(token) = &self.token {
            let token = token().map_err(CaClientError::Token)?;
            let header = authorization(&token).map_err(CaClientError::Token)?;
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }

    async fn call(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<CertificateResponse, Status> {
        let mut grpc =
            Grpc::new(self.channel.clone()).max_decoding_message_size(proto::MAX_MESSAGE_LEN);
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(proto::CREATE_CERTIFICATE);
        let codec = ProstCodec::<CertificateRequest, CertificateResponse>::default();
        Ok(grpc.unary(request, path, codec).await?.into_inner())
    }

    /// The chain to show to others: verified, and without roots, which they know already.
    fn verified_chain(
        &self,
        answer: &CertificateResponse,
    ) -> Result<Vec<CertificateDer<'static>>, CaClientError> {
        let mut chain = certificates_from_pem(answer.cert_chain.join("\n").as_bytes())?;
        if chain.len() > MAX_CHAIN_LEN {
            return Err(CaClientError::LongChain);
        }
        let known =
            |der: &CertificateDer<'_>| self.bundles.iter().any(|(_, roots)| roots.contains(der));
        chain.retain(|certificate| !known(certificate));
        let expected = ExpectedIdentities::exactly(self.identity.clone());
        let provider = self.context.provider();
        SvidVerifier::new(self.bundles.clone(), expected, provider).verify(
            &chain,
            PeerRole::Client,
            self.context.now(),
        )?;
        Ok(chain)
    }
}

impl CredentialsSource for CaClient {
    async fn fetch(&self) -> Result<Credentials, SourceError> {
        self.obtain().await.map_err(|error| match &error {
            CaClientError::Call(status) if is_refusal(status.code()) => {
                SourceError::Refused(error.into())
            }
            CaClientError::Call(_) | CaClientError::Token(_) => {
                SourceError::Unavailable(error.into())
            }
            _ => SourceError::Unusable(error.into()),
        })
    }
}

impl From<Status> for CaClientError {
    fn from(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

impl fmt::Debug for CaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaClient")
            .field("identity", &self.identity)
            .field("bundles", &self.bundles)
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument
    )
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, Box<dyn Error + Send + Sync>> {
    // The error of the conversion is replaced lest it repeat the token.
    let mut header: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
        .parse()
        .map_err(|_| "it has characters that no token has")?;
    header.set_sensitive(true);
    Ok(header)
}

fn no_key(error: rcgen::Error) -> CaClientError {
    CaClientError::Key(error.to_string())
}

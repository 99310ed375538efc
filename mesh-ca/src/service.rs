//! Istio's signing service, on the serving side.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use mesh_tls::Peer;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Body as HttpBody, StdError},
    server::{Grpc, NamedService, UnaryService},
};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::{
    attest::{AttestError, Attested, Attestor, Evidence},
    authority::{Authority, Csr, IssueError, Issued},
    proto::{self, CertificateRequest, CertificateResponse},
};

/// `istio.v1.auth.IstioCertificateService` for a tonic server or router.
///
/// The caller is whom the first attestor says that finds evidence of its kind: a bearer token in
/// `authorization`, or the [`Peer`] of the connection, which
/// [`mesh_tls::grpc::Incoming`] leaves in the request's extensions.
#[derive(Debug, Clone)]
pub struct CaService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Arc<Authority>,
    attestors: Vec<Box<dyn Attestor>>,
}

impl CaService {
    /// Serves an authority to those whom one of the attestors, asked in order, can name.
    pub fn new(authority: Arc<Authority>, attestors: Vec<Box<dyn Attestor>>) -> Self {
        Self(Arc::new(Inner {
            authority,
            attestors,
        }))
    }
}

impl Inner {
    async fn create_certificate(
        &self,
        request: Request<CertificateRequest>,
    ) -> Result<Response<CertificateResponse>, Status> {
        let caller = self
            .attest(&request)
            .await
            .map_err(|error| Status::unauthenticated(error.to_string()))?;
        let request = request.into_inner();
        let issued = self.issue(&request, &caller)?;
        let cert_chain = issued.to_pem();
        Ok(Response::new(CertificateResponse { cert_chain }))
    }

    async fn attest(&self, request: &Request<CertificateRequest>) -> Result<Attested, AttestError> {
        let evidence = Evidence {
            token: bearer_token(request),
            peer: request.extensions().get::<Peer>(),
        };
        for attestor in &self.attestors {
            if let Some(verdict) = attestor.attest(evidence).await {
                return verdict;
            }
        }
        Err(AttestError::NoEvidence)
    }

    fn issue(&self, request: &CertificateRequest, caller: &Attested) -> Result<Issued, Status> {
        let csr = Csr::from_pem(&request.csr)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let seconds = u64::try_from(request.validity_duration)
            .map_err(|_| Status::invalid_argument("validity_duration is negative"))?;
        self.authority
            .issue(&csr, &caller.identity, Some(Duration::from_secs(seconds)))
            .map_err(|error| match error {
                IssueError::ForeignTrustDomain { .. } => {
                    Status::permission_denied(error.to_string())
                }
                _ => Status::internal(error.to_string()),
            })
    }
}

fn bearer_token(request: &Request<CertificateRequest>) -> Option<&str> {
    let value = request.metadata().get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    // RFC 9110, section 11.1: the scheme's case does not matter.
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

impl NamedService for CaService {
    const NAME: &'static str = proto::SERVICE;
}

type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl<B> Service<http::Request<B>> for CaService
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let method = CreateCertificate(Arc::clone(&self.0));
        Box::pin(async move {
            if request.uri().path() != proto::CREATE_CERTIFICATE {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let limit = Some(proto::MAX_MESSAGE_LEN);
            let mut grpc =
                Grpc::new(ProstCodec::default()).apply_max_message_size_config(limit, None);
            Ok(grpc.unary(method, request).await)
        })
    }
}

struct CreateCertificate(Arc<Inner>);

impl UnaryService<CertificateRequest> for CreateCertificate {
    type Response = CertificateResponse;
    type Future = BoxFuture<Response<CertificateResponse>, Status>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.create_certificate(request).await })
    }
}

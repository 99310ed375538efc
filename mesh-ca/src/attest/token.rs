use std::{
    collections::HashSet,
    fmt,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use mesh_core::identity::{SpiffeId, TrustDomain};
use mesh_tls::TlsContext;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AttestError, Attested, Attestor, Evidence};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// The audience of tokens that are meant for the CA.
const AUDIENCE: &str = "istio-ca";
/// Clocks may differ by this much.
const LEEWAY: Duration = Duration::from_secs(30);

/// What a Kubernetes service-account token says, as far as it matters here (RFC 7519).
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
}

/// RFC 7519, section 4.1.3: one audience or several.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Believes service-account tokens of one issuer: ES256, meant for `istio-ca`, not expired, about
/// `system:serviceaccount:<namespace>:<service account>`.
#[derive(Clone)]
pub struct TokenAttestor {
    issuer: String,
    key: DecodingKey,
    trust_domain: TrustDomain,
    context: TlsContext,
}

/// Makes service-account tokens for a mesh that has no Kubernetes to make them.
pub struct TokenIssuer {
    issuer: String,
    key: EncodingKey,
    public_key: Vec<u8>,
    context: TlsContext,
}

/// Why no tokens can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tokens cannot be made: {0}")]
pub struct TokenIssuerError(String);

impl TokenIssuer {
    /// Makes a new key to sign tokens with. `issuer` is the `iss` they carry.
    pub fn generate(issuer: &str, context: TlsContext) -> Result<Self, TokenIssuerError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| TokenIssuerError(error.to_string()))?;
        let secret = Zeroizing::new(key.serialize_der());
        Ok(Self {
            issuer: issuer.to_owned(),
            key: EncodingKey::from_ec_der(&secret),
            public_key: key.public_key_raw().to_vec(),
            context,
        })
    }

    /// A token that says who its bearer is. It is a secret: whoever has it gets the identity.
    pub fn mint(
        &self,
        namespace: &str,
        service_account: &str,
        lifetime: Duration,
    ) -> Result<String, TokenIssuerError> {
        let now = unix_seconds(self.context.now());
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: format!("{SUBJECT_PREFIX}{namespace}:{service_account}"),
            aud: Audience::Many(vec![AUDIENCE.to_owned()]),
            exp: now.saturating_add(lifetime.as_secs()),
            nbf: now,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)
            .map_err(|error| TokenIssuerError(error.to_string()))
    }

    /// Believes the tokens made here, as identities of `trust_domain`.
    pub fn attestor(&self, trust_domain: TrustDomain) -> TokenAttestor {
        let context = self.context.clone();
        TokenAttestor::new(&self.issuer, &self.public_key, trust_domain, context)
    }
}

const SUBJECT_PREFIX: &str = "system:serviceaccount:";

impl TokenAttestor {
    /// Believes the tokens of `issuer` (their `iss`) that are signed with the P-256 key whose
    /// public half is `public_key`: an uncompressed point (SEC 1, section 2.3.3).
    pub fn new(
        issuer: &str,
        public_key: &[u8],
        trust_domain: TrustDomain,
        context: TlsContext,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            key: DecodingKey::from_ec_der(public_key),
            trust_domain,
            context,
        }
    }

    /// The same with another clock.
    pub fn with_context(self, context: TlsContext) -> Self {
        Self { context, ..self }
    }

    /// Reads the identity out of a token, if it is believed.
    pub fn verify(&self, token: &str) -> Result<SpiffeId, AttestError> {
        self.judge(token).map_err(AttestError::Token)
    }

    fn judge(&self, token: &str) -> Result<SpiffeId, String> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(format!("it is longer than {MAX_TOKEN_LEN} bytes"));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation())
            .map_err(|error| error.to_string())?
            .claims;
        self.check_time(&claims)?;
        let subject = claims.sub.strip_prefix(SUBJECT_PREFIX);
        let (namespace, service_account) = subject
            .and_then(|names| names.split_once(':'))
            .ok_or("its subject is not a service account")?;
        SpiffeId::for_service_account(&self.trust_domain, namespace, service_account)
            .map_err(|error| format!("its subject makes no identity: {error}"))
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.required_spec_claims =
            HashSet::from(["exp", "aud", "iss", "sub"].map(str::to_owned));
        // Time is checked here, by the clock that was passed in.
        validation.validate_exp = false;
        validation
    }

    fn check_time(&self, claims: &Claims) -> Result<(), String> {
        let now = unix_seconds(self.context.now());
        if claims.exp.saturating_add(LEEWAY.as_secs()) <= now {
            return Err("it has expired".to_owned());
        }
        if claims.nbf > now.saturating_add(LEEWAY.as_secs()) {
            return Err("it is not valid yet".to_owned());
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Attestor for TokenAttestor {
    async fn attest(&self, evidence: Evidence<'_>) -> Option<Result<Attested, AttestError>> {
        let verdict = self.verify(evidence.token?);
        Some(verdict.map(|identity| Attested {
            identity,
            by: "service-account token",
        }))
    }
}

impl fmt::Debug for TokenAttestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAttestor")
            .field("issuer", &self.issuer)
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("issuer", &self.issuer)
            .field("key", &"(secret)")
            .finish()
    }
}

fn unix_seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

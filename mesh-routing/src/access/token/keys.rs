use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde_json::{Map, Value};

use super::{
    compact::{Token, TokenError},
    json,
};

/// The longest key set that is read, in bytes. Of a longer one, no key is.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// The most keys of one set: a token that does not say its key is tried with each of them.
pub const MAX_KEYS: usize = 32;

/// The public keys of an issuer (RFC 7517).
#[derive(Debug, Default)]
pub(super) struct Keys(Box<[Key]>);

struct Key {
    id: Option<Box<str>>,
    algorithms: &'static [Algorithm],
    /// The only one it is for, if it says so.
    only: Option<Box<str>>,
    public: DecodingKey,
}

impl Keys {
    /// Reads a key set. Keys of unknown kinds are left out, as RFC 7517, section 5, asks; so are
    /// secrets, which are no proof of who signed. A text that is no key set holds no keys.
    pub(super) fn parse(text: &str) -> Self {
        if text.len() > MAX_KEY_SET_BYTES {
            return Self::default();
        }
        let set = json::object(text.as_bytes()).unwrap_or_default();
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Self::default();
        };
        let keys = keys.iter().filter_map(Value::as_object);
        Self(keys.filter_map(Key::read).take(MAX_KEYS).collect())
    }

    /// Whether one of the keys made the token's signature.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), TokenError> {
        let mut error = TokenError::NoKey;
        for key in self.0.iter().filter(|key| key.may_have_signed(token)) {
            error = TokenError::Signature;
            let signed = token.signed.as_bytes();
            let judged = crypto::verify(token.signature, signed, &key.public, token.algorithm);
            if let Ok(true) = judged {
                return Ok(());
            }
        }
        Err(error)
    }
}

impl Key {
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(Value::Array(uses)) = key.get("key_ops")
            && !uses.iter().any(|purpose| purpose == "verify")
        {
            return None;
        }
        let (algorithms, public): (&[Algorithm], _) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (
                &[
                    Algorithm::RS256,
                    Algorithm::RS384,
                    Algorithm::RS512,
                    Algorithm::PS256,
                    Algorithm::PS384,
                    Algorithm::PS512,
                ],
                DecodingKey::from_rsa_components(text("n")?, text("e")?),
            ),
            ("EC", Some("P-256")) => (
                &[Algorithm::ES256],
                DecodingKey::from_ec_components(text("x")?, text("y")?),
            ),
            ("EC", Some("P-384")) => (
                &[Algorithm::ES384],
                DecodingKey::from_ec_components(text("x")?, text("y")?),
            ),
            ("OKP", Some("Ed25519")) => (
                &[Algorithm::EdDSA],
                DecodingKey::from_ed_components(text("x")?),
            ),
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(Into::into),
            algorithms,
            only: text("alg").map(Into::into),
            public: public.ok()?,
        })
    }

    /// By kind and by name; a key or a token that bears no name fits any.
    fn may_have_signed(&self, token: &Token<'_>) -> bool {
        let named = match (&self.id, &token.key_id) {
            (Some(mine), Some(wanted)) => **mine == **wanted,
            _ => true,
        };
        let only = self.only.as_deref();
        named
            && self.algorithms.contains(&token.algorithm)
            && only.is_none_or(|only| only == format!("{:?}", token.algorithm))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{MAX_TOKEN_LEN, json};

/// What is wrong with a token. Prints as Envoy words it, where Envoy knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not three parts in base64url.
    #[error("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")]
    Form,
    /// It is longer than [`MAX_TOKEN_LEN`].
    #[error("Jwt is too long")]
    TooLong,
    /// Its header is no JSON object, or is ambiguous, or asks for what is not known.
    #[error("Jwt header is an invalid JSON")]
    Header,
    /// Its payload is no JSON object, or a claim is not what it must be.
    #[error("Jwt payload is an invalid JSON")]
    Payload,
    /// Its algorithm is none that only the issuer could have used.
    #[error("Header {{alg}} is not supported")]
    Algorithm,
    /// Nobody vouches for its issuer.
    #[error("Jwt issuer is not configured")]
    UnknownIssuer,
    /// It is over.
    #[error("Jwt is expired")]
    Expired,
    /// It has not begun.
    #[error("Jwt not yet valid")]
    NotYet,
    /// It is meant for somebody else.
    #[error("Audiences in Jwt are not allowed")]
    Audience,
    /// There is no key for it.
    #[error("Jwks doesn't have key to match kid or alg from Jwt")]
    NoKey,
    /// No key that may have signed it did.
    #[error("Jwt verification fails")]
    Signature,
    /// The request brings different tokens at once.
    #[error("Jwt comes several times")]
    Several,
}

impl TokenError {
    /// The status of the answer: 403 for a genuine token that is meant for others, else 401.
    pub fn status(self) -> u16 {
        match self {
            Self::Audience => 403,
            _ => 401,
        }
    }
}

/// A token taken apart. Nothing of it is believed yet.
pub(super) struct Token<'a> {
    /// What was signed: header and payload as they were sent.
    pub(super) signed: &'a str,
    /// The payload as it was sent.
    pub(super) payload: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form);
        let (head, body) = (decode(header)?, decode(payload)?);
        decode(signature)?;
        let head = json::object(&head).ok_or(TokenError::Header)?;
        // What must be understood to judge a token (RFC 7515, section 4.1.11) is not.
        if head.contains_key("crit") {
            return Err(TokenError::Header);
        }
        let claims = json::object(&body).ok_or(TokenError::Payload)?;
        are_well_formed(&claims)?;
        Ok(Self {
            signed,
            payload,
            signature,
            algorithm: algorithm(&head)?,
            key_id: key_id(&head)?,
            claims,
        })
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    pub(super) fn check_times(&self, now: SystemTime, skew: Duration) -> Result<(), TokenError> {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let time = |claim| self.claims.get(claim).and_then(Value::as_f64);
        if time("exp").is_some_and(|end| now > end + skew.as_secs_f64()) {
            return Err(TokenError::Expired);
        }
        if time("nbf").is_some_and(|begin| now + skew.as_secs_f64() < begin) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }

    pub(super) fn is_for_one_of(&self, audiences: &[Box<str>]) -> bool {
        let wanted = |audience: &Value| {
            let audience = audience.as_str();
            audience.is_some_and(|audience| audiences.iter().any(|wanted| **wanted == *audience))
        };
        match self.claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(wanted),
            Some(one) => wanted(one),
            None => false,
        }
    }
}

/// Only algorithms whose keys tell who signed: never `none`, never a shared secret.
fn algorithm(head: &Map<String, Value>) -> Result<Algorithm, TokenError> {
    let name = head.get("alg").and_then(Value::as_str);
    Ok(match name.ok_or(TokenError::Header)? {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return Err(TokenError::Algorithm),
    })
}

fn key_id(head: &Map<String, Value>) -> Result<Option<String>, TokenError> {
    match head.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) => Ok(Some(id.clone())),
        Some(_) => Err(TokenError::Header),
    }
}

/// Claims that are judged are of the types of RFC 7519, section 4.1, or the token is none.
fn are_well_formed(claims: &Map<String, Value>) -> Result<(), TokenError> {
    let fits = |claim: &str, is: fn(&Value) -> bool| claims.get(claim).is_none_or(is);
    let is_list = |value: &Value| {
        let list = value.as_array();
        list.is_some_and(|list| list.iter().all(Value::is_string))
    };
    let audience = claims.get("aud");
    let good = ["exp", "nbf", "iat"]
        .iter()
        .all(|claim| fits(claim, Value::is_number))
        && ["iss", "sub"]
            .iter()
            .all(|claim| fits(claim, Value::is_string))
        && audience.is_none_or(|aud| aud.is_string() || is_list(aud));
    good.then_some(()).ok_or(TokenError::Payload)
}

//! Whether the tokens that requests bring are genuine, given keys and time.
//!
//! Tokens are JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed with a key that
//! only their issuer has. A token that names no algorithm, or one whose keys both sides share
//! (`none`, `HS256`), is refused whatever its keys are, and no key is ever taken from a token.

mod claims;
mod compact;
mod json;
mod keys;
mod location;

pub use claims::Claims;
pub use compact::TokenError;
pub use keys::{MAX_KEY_SET_BYTES, MAX_KEYS};
pub use location::MAX_TOKENS;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, header};
use mesh_core::dataplane::{JwtFilter, JwtProvider, Name, Origin};

use self::{compact::Token, keys::Keys, location::Locations};
use crate::{CompileError, RequestHead, compile_error::compile_all};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// Which tokens requests may bring, ready to ask.
#[derive(Debug)]
pub struct TokenVerifier {
    providers: Box<[Provider]>,
    bypass_cors_preflight: bool,
    reroutes: bool,
}

#[derive(Debug)]
struct Provider {
    name: Name,
    origin: Option<Origin>,
    issuer: Box<str>,
    audiences: Box<[Box<str>]>,
    clock_skew: Duration,
    keys: Keys,
    locations: Locations,
    outputs: location::Outputs,
    spaced: Box<[String]>,
}

/// What the tokens of a request come to.
#[derive(Debug)]
pub enum TokenVerdict<'a> {
    /// It brings none: it passes, unknown.
    Absent,
    /// It brings one that is genuine.
    Verified(Verified<'a>),
    /// It brings one that is not.
    Refused(TokenRefusal<'a>),
}

/// A genuine token.
#[derive(Debug)]
pub struct Verified<'a> {
    /// What it says.
    pub claims: Claims,
    provider: &'a Provider,
    payload: String,
}

/// A token that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRefusal<'a> {
    /// What is wrong with it.
    pub error: TokenError,
    /// Whose token it was to be.
    pub provider: &'a Name,
    /// The resource that asked for that.
    pub origin: Option<&'a Origin>,
}

impl TokenVerifier {
    /// Prepares a filter. Refuses headers that are none, naming the provider and its resource.
    ///
    /// Keys that cannot be read are no keys: every token of that provider is refused.
    pub fn compile(filter: &JwtFilter) -> Result<Self, CompileError> {
        let compile = |planned: &JwtProvider| {
            Provider::compile(planned).map_err(|error| error.because_of(planned.origin.as_ref()))
        };
        Ok(Self {
            providers: compile_all("providers", &filter.providers, compile)?,
            bypass_cors_preflight: filter.bypass_cors_preflight,
            reroutes: filter.reroutes,
        })
    }

    /// Whether the rule for a request is to be looked for again once its token was verified.
    pub fn reroutes(&self) -> bool {
        self.reroutes
    }

    /// What a request's tokens come to at this time.
    ///
    /// The first provider that finds a genuine token decides; without one, any token that was
    /// found refuses the request.
    pub fn check(&self, head: &RequestHead<'_>, now: SystemTime) -> TokenVerdict<'_> {
        if self.bypass_cors_preflight && is_preflight(head) {
            return TokenVerdict::Absent;
        }
        let mut refusal: Option<TokenRefusal<'_>> = None;
        for provider in &self.providers {
            match provider.check(head, now) {
                Ok(None) => {}
                Ok(Some(verified)) => return TokenVerdict::Verified(verified),
                Err(error) => {
                    // What the token's own issuer says tells more than that it is another's.
                    let tells_more = refusal
                        .as_ref()
                        .is_none_or(|known| known.error == TokenError::UnknownIssuer);
                    if tells_more {
                        refusal = Some(TokenRefusal {
                            error,
                            provider: &provider.name,
                            origin: provider.origin.as_ref(),
                        });
                    }
                }
            }
        }
        refusal.map_or(TokenVerdict::Absent, TokenVerdict::Refused)
    }

    /// Removes headers that only a genuine token may bring, whoever wrote them. To be called
    /// before [`Verified::edit`], and also where there is no token.
    pub fn sanitize(&self, headers: &mut HeaderMap) {
        for provider in &self.providers {
            provider.outputs.remove_from(headers);
        }
    }
}

impl Verified<'_> {
    /// Takes the token out of a request's headers, unless it is to be left there, and writes what
    /// the application is to be told of it.
    pub fn edit(&self, headers: &mut HeaderMap) {
        let provider = self.provider;
        provider.locations.take_out(headers);
        provider.outputs.write(&self.claims, &self.payload, headers);
    }

    /// The provider that vouches for the token.
    pub fn provider(&self) -> &Name {
        &self.provider.name
    }

    /// The resource that asked for that provider.
    pub fn origin(&self) -> Option<&Origin> {
        self.provider.origin.as_ref()
    }
}

impl Provider {
    fn compile(planned: &JwtProvider) -> Result<Self, CompileError> {
        let audiences = planned
            .audiences
            .iter()
            .map(|audience| audience.as_str().into());
        Ok(Self {
            name: planned.name.clone(),
            origin: planned.origin.clone(),
            issuer: planned.issuer.as_str().into(),
            audiences: audiences.collect(),
            clock_skew: planned.clock_skew,
            keys: Keys::parse(&planned.keys),
            locations: Locations::compile(planned)?,
            outputs: location::Outputs::compile(planned)?,
            spaced: planned.space_delimited_claims.as_slice().into(),
        })
    }

    /// The genuine token that a request brings, if it brings any. Several must all be genuine and
    /// the same: nobody could tell which of them the application will believe.
    fn check(
        &self,
        head: &RequestHead<'_>,
        now: SystemTime,
    ) -> Result<Option<Verified<'_>>, TokenError> {
        let found = self.locations.find(head)?;
        let Some((first, others)) = found.split_first() else {
            return Ok(None);
        };
        if others.iter().any(|other| other != first) {
            return Err(TokenError::Several);
        }
        let token = Token::parse(first)?;
        self.judge(&token, now)?;
        Ok(Some(Verified {
            payload: token.payload.to_owned(),
            claims: Claims::new(token.claims, &self.spaced),
            provider: self,
        }))
    }

    fn judge(&self, token: &Token<'_>, now: SystemTime) -> Result<(), TokenError> {
        if !self.issuer.is_empty() && token.issuer() != Some(&*self.issuer) {
            return Err(TokenError::UnknownIssuer);
        }
        token.check_times(now, self.clock_skew)?;
        if !self.audiences.is_empty() && !token.is_for_one_of(&self.audiences) {
            return Err(TokenError::Audience);
        }
        self.keys.verify(token)
    }
}

/// A question of a browser whether it may ask (Fetch standard): it never brings credentials.
fn is_preflight(head: &RequestHead<'_>) -> bool {
    *head.method == Method::OPTIONS
        && head.headers.contains_key(header::ORIGIN)
        && head
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

use std::time::Duration;

use serde::Serialize;

use super::{Name, Origin, human};

/// Which tokens requests may bring (Envoy's `jwt_authn`).
///
/// A request without a token passes, unknown. One with a token that a provider vouches for passes
/// and is known by what the token says. Any other is refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct JwtFilter {
    /// Who may have made tokens, in the order in which they are asked; Istio's names are
    /// `origins-<index>`.
    pub providers: Vec<JwtProvider>,
    /// Let preflights of browsers pass, which never bring a token.
    pub bypass_cors_preflight: bool,
    /// Look for the rule again once a token was verified, as rules may ask for claims.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reroutes: bool,
}

/// Somebody who makes tokens, and where requests bring them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct JwtProvider {
    /// Unique name.
    pub name: Name,
    /// The `iss` tokens must have; empty for any.
    pub issuer: String,
    /// Of these, tokens must have one in `aud`; empty asks for none.
    pub audiences: Vec<String>,
    /// The public keys, as a JSON Web Key Set. Without a key that fits, no token passes.
    pub keys: String,
    /// Headers that may hold a token. Without headers, parameters and cookies it is
    /// `authorization: Bearer` or the parameter `access_token`.
    pub headers: Vec<JwtHeader>,
    /// Query parameters that may hold one.
    pub parameters: Vec<String>,
    /// Cookies that may hold one.
    pub cookies: Vec<String>,
    /// Leave the token in the request.
    pub forward: bool,
    /// The header in which the application gets the token's payload, in base64url; empty for none.
    pub payload_header: String,
    /// Headers in which the application gets claims.
    pub claim_headers: Vec<ClaimHeader>,
    /// Claims whose text is a list of words.
    pub space_delimited_claims: Vec<String>,
    /// By how much clocks may differ.
    #[serde(serialize_with = "human::duration")]
    pub clock_skew: Duration,
    /// The resource that asked for this.
    pub origin: Option<Origin>,
}

/// A header that may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JwtHeader {
    /// In lower case.
    pub name: String,
    /// What stands before the token, such as `Bearer `.
    pub prefix: String,
}

/// A header that tells the application a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimHeader {
    /// In lower case.
    pub header: String,
    /// The claim; a dot leads into an object.
    pub claim: String,
}

impl JwtProvider {
    /// Envoy's allowance for clocks that differ.
    pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
    /// A key set without keys: no token passes.
    pub const NO_KEYS: &'static str = r#"{"keys":[]}"#;
}

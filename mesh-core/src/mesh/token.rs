//! Which tokens requests may bring: what RequestAuthentications mean.

use std::{sync::Arc, time::Duration};

use super::{
    attachment::{Audience, Recipient},
    findings::Findings,
};
use crate::{
    config::{
        Problem, Resource, Source,
        istio::{self, JwtRule},
    },
    name::{ResourceRef, is_header_name},
};

/// The most rules of one RequestAuthentication (Istio's API).
pub const MAX_TOKEN_RULES: usize = 4096;

/// What a RequestAuthentication means.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenPolicy {
    /// The RequestAuthentication.
    pub reference: ResourceRef,
    /// Where it is written.
    pub source: Source,
    /// The workloads it is for.
    pub audience: Audience,
    /// Whose tokens are accepted.
    pub rules: Vec<TokenRule>,
    /// It could not be read in full: until it can, no token passes by it.
    pub is_broken: bool,
}

/// Tokens of one issuer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenRule {
    /// The field of the resource, such as `spec.jwtRules[0]`.
    pub field: String,
    /// The `iss` of tokens.
    pub issuer: String,
    /// Of which tokens must name one; empty asks for none.
    pub audiences: Vec<String>,
    /// The issuer's public keys.
    pub keys: TokenKeys,
    /// Headers that may hold a token, in lower case, with what stands before it.
    pub headers: Vec<(String, String)>,
    /// Query parameters that may hold one.
    pub parameters: Vec<String>,
    /// Cookies that may hold one.
    pub cookies: Vec<String>,
    /// The header, in lower case, that tells the application the payload; empty for none.
    pub payload_header: String,
    /// Headers, in lower case, that tell it a claim.
    pub claim_headers: Vec<(String, String)>,
    /// Leave the token in the request.
    pub forward: bool,
    /// Claims whose text is a list of words.
    pub space_delimited_claims: Vec<String>,
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKeys {
    /// A JSON Web Key Set, in place.
    Inline(String),
    /// To be fetched.
    At {
        /// `https://...`: a key set, or the issuer's OpenID configuration that names it.
        uri: String,
        /// How long fetching may take.
        timeout: Duration,
    },
}

impl Default for TokenKeys {
    fn default() -> Self {
        Self::Inline(String::new())
    }
}

/// Istio's wait for keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Claims that are lists of words unless a rule says otherwise (Istio's default).
const SPACE_DELIMITED: [&str; 2] = ["permission", "scope"];

/// What a RequestAuthentication means. A broken one is kept, without the keys of any issuer.
pub(super) fn token_policy(
    resource: &Resource,
    written: &istio::RequestAuthentication,
) -> (Option<TokenPolicy>, Vec<Problem>) {
    let mut findings = Findings::new(resource);
    let audience = Audience::read(
        &mut findings,
        written.selector.as_ref(),
        written.target_ref.as_ref(),
        &written.target_refs,
    );
    if written.jwt_rules.len() > MAX_TOKEN_RULES {
        findings.error(
            "spec.jwtRules",
            format!("more than {MAX_TOKEN_RULES} rules"),
        );
    }
    let rules = written.jwt_rules.iter().take(MAX_TOKEN_RULES).enumerate();
    let rules =
        rules.map(|(i, rule)| token_rule(&mut findings, format!("spec.jwtRules[{i}]"), rule));
    let rules = rules.collect();
    let effect = "until then every token it is about is refused";
    let (is_broken, problems) = findings.fail_closed(effect);
    let policy = TokenPolicy {
        reference: resource.reference.clone(),
        source: resource.source.clone(),
        audience,
        rules,
        is_broken,
    };
    (Some(policy), problems)
}

fn token_rule(findings: &mut Findings<'_>, field: String, written: &JwtRule) -> TokenRule {
    if written.issuer.is_empty() {
        findings.error(&format!("{field}.issuer"), "is missing");
    }
    let headers = written.from_headers.iter().enumerate().map(|(i, header)| {
        let name = header_name(
            findings,
            &format!("{field}.fromHeaders[{i}].name"),
            &header.name,
        );
        (name, header.prefix.clone())
    });
    let headers = headers.collect();
    for (name, texts) in [
        ("audiences", &written.audiences),
        ("fromParams", &written.from_params),
        ("fromCookies", &written.from_cookies),
    ] {
        for (i, _) in texts.iter().enumerate().filter(|(_, text)| text.is_empty()) {
            findings.error(&format!("{field}.{name}[{i}]"), "is empty");
        }
    }
    let told = written.output_claim_to_headers.iter().enumerate();
    let told = told.map(|(i, told)| {
        let at = format!("{field}.outputClaimToHeaders[{i}]");
        if told.claim.is_empty() {
            findings.error(&format!("{at}.claim"), "is missing");
        }
        let name = header_name(findings, &format!("{at}.header"), &told.header);
        (name, told.claim.clone())
    });
    let claim_headers = told.collect();
    let payload_header = match &*written.output_payload_to_header {
        "" => String::new(),
        name => header_name(findings, &format!("{field}.outputPayloadToHeader"), name),
    };
    let spaced = &written.space_delimited_claims;
    TokenRule {
        keys: keys(findings, &field, written),
        field,
        issuer: written.issuer.clone(),
        audiences: written.audiences.clone(),
        headers,
        parameters: written.from_params.clone(),
        cookies: written.from_cookies.clone(),
        payload_header,
        claim_headers,
        forward: written.forward_original_token,
        space_delimited_claims: match spaced.is_empty() {
            true => SPACE_DELIMITED.map(str::to_owned).to_vec(),
            false => spaced.clone(),
        },
    }
}

fn header_name(findings: &mut Findings<'_>, field: &str, name: &str) -> String {
    if !is_header_name(name) {
        findings.error(field, format!("{name:?} is no header's name"));
    }
    name.to_ascii_lowercase()
}

fn keys(findings: &mut Findings<'_>, field: &str, written: &JwtRule) -> TokenKeys {
    let at = |uri: String| TokenKeys::At {
        uri,
        timeout: written.timeout.map_or(FETCH_TIMEOUT, |timeout| timeout.0),
    };
    match (&*written.jwks, &*written.jwks_uri) {
        ("", "") => {
            let issuer = written.issuer.trim_end_matches('/');
            at(format!("{issuer}/.well-known/openid-configuration"))
        }
        (inline, "") => {
            let at = format!("{field}.jwks");
            let set: Option<serde_json::Value> = serde_json::from_str(inline).ok();
            let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
            match keys {
                None => findings.error(&at, "is no JSON Web Key Set"),
                Some(keys) if keys.is_empty() => findings.error(&at, "holds no key"),
                Some(_) => {}
            }
            TokenKeys::Inline(inline.into())
        }
        ("", uri) => {
            let at_field = format!("{field}.jwksUri");
            match uri.split_once("://") {
                Some(("https", host)) if !host.is_empty() => {}
                Some(("http", host)) if !host.is_empty() => {
                    let reason = "whoever stands on the way may put keys of their own there";
                    findings.warn(&at_field, reason);
                    findings.advise("use https");
                }
                _ => findings.error(&at_field, format!("{uri:?} is no https address")),
            }
            at(uri.into())
        }
        (_, _) => {
            findings.error(&format!("{field}.jwks"), "and jwksUri exclude each other");
            TokenKeys::default()
        }
    }
}

/// Chooses the policies for a workload, oldest first.
pub(super) fn in_effect(
    policies: &[Arc<TokenPolicy>],
    recipient: Recipient<'_>,
) -> Vec<Arc<TokenPolicy>> {
    let meant = policies
        .iter()
        .filter(|policy| policy.audience.includes(&policy.reference, recipient));
    meant.cloned().collect()
}

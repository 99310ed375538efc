use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mesh_core::dataplane::JwtProvider;
use serde_json::Value;

use super::{Claims, compact::TokenError};
use crate::{CompileError, Defect, RequestHead};

/// The most tokens that are looked at in one request, for one provider.
pub const MAX_TOKENS: usize = 8;

/// Where requests bring a provider's tokens.
#[derive(Debug)]
pub(super) struct Locations {
    headers: Box<[Place]>,
    parameters: Box<[Box<str>]>,
    cookies: Box<[Box<str>]>,
    forward: bool,
}

#[derive(Debug)]
struct Place {
    name: HeaderName,
    prefix: Box<str>,
}

/// What the application is told of a token.
#[derive(Debug)]
pub(super) struct Outputs {
    payload: Option<HeaderName>,
    claims: Box<[(HeaderName, Box<[String]>)]>,
}

impl Locations {
    pub(super) fn compile(planned: &JwtProvider) -> Result<Self, CompileError> {
        let mut headers = Vec::with_capacity(planned.headers.len());
        for (index, place) in planned.headers.iter().enumerate() {
            let name = header_name(&place.name)
                .map_err(|error| error.within(format_args!("headers[{index}].name")))?;
            let prefix = place.prefix.as_str().into();
            headers.push(Place { name, prefix });
        }
        let texts = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let mut parameters: Box<[Box<str>]> = texts(&planned.parameters);
        // RFC 6750, sections 2.1 and 2.3.
        if planned.headers.is_empty() && parameters.is_empty() && planned.cookies.is_empty() {
            headers.push(Place {
                name: header::AUTHORIZATION,
                prefix: "Bearer ".into(),
            });
            parameters = ["access_token".into()].into();
        }
        Ok(Self {
            headers: headers.into(),
            parameters,
            cookies: texts(&planned.cookies),
            forward: planned.forward,
        })
    }

    /// Every token that a request brings.
    pub(super) fn find<'a>(&self, head: &RequestHead<'a>) -> Result<Vec<Cow<'a, str>>, TokenError> {
        let mut found: Vec<Cow<'a, str>> = Vec::new();
        for place in &self.headers {
            for value in head.headers.get_all(&place.name) {
                if let Some(token) = place.token(value.as_bytes()) {
                    found.push(String::from_utf8_lossy(token));
                }
            }
        }
        for name in &self.parameters {
            let pairs = head.query.into_iter().flat_map(|query| query.split('&'));
            let named = pairs.filter_map(|pair| pair.split_once('='));
            found.extend(
                named
                    .filter(|(key, _)| unescaped(key) == **name)
                    .map(|(_, value)| unescaped(value)),
            );
        }
        for name in &self.cookies {
            for line in head.headers.get_all(header::COOKIE) {
                let cookies = line.as_bytes().split(|byte| *byte == b';');
                let values = cookies.filter_map(|cookie| cookie_value(cookie, name));
                found.extend(values.map(String::from_utf8_lossy));
            }
        }
        if found.len() > MAX_TOKENS {
            return Err(TokenError::Several);
        }
        Ok(found)
    }

    /// Removes tokens from headers. Parameters and cookies stay as they are, as with Envoy.
    pub(super) fn take_out(&self, headers: &mut HeaderMap) {
        if self.forward {
            return;
        }
        for place in &self.headers {
            let is_token = |value: &HeaderValue| place.token(value.as_bytes()).is_some();
            let values = headers.get_all(&place.name);
            let others: Vec<_> = values.iter().filter(|v| !is_token(v)).cloned().collect();
            headers.remove(&place.name);
            for value in others {
                headers.append(&place.name, value);
            }
        }
    }
}

impl Place {
    /// What stands behind the prefix. The scheme `Bearer` may be written in any case, as RFC 9110,
    /// section 11.1, has it.
    fn token<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let head = value.get(..self.prefix.len())?;
        let prefix = self.prefix.as_bytes();
        let is_scheme = self.name == header::AUTHORIZATION;
        let same = head == prefix || is_scheme && head.eq_ignore_ascii_case(prefix);
        same.then(|| value[prefix.len()..].trim_ascii())
    }
}

impl Outputs {
    pub(super) fn compile(planned: &JwtProvider) -> Result<Self, CompileError> {
        let payload = (!planned.payload_header.is_empty())
            .then(|| header_name(&planned.payload_header))
            .transpose()
            .map_err(|error| error.within("payload_header"))?;
        let mut claims = Vec::with_capacity(planned.claim_headers.len());
        for (index, output) in planned.claim_headers.iter().enumerate() {
            let name = header_name(&output.header)
                .map_err(|error| error.within(format_args!("claim_headers[{index}].header")))?;
            claims.push((name, output.claim.split('.').map(str::to_owned).collect()));
        }
        Ok(Self {
            payload,
            claims: claims.into(),
        })
    }

    pub(super) fn remove_from(&self, headers: &mut HeaderMap) {
        let names = self.payload.iter();
        for name in names.chain(self.claims.iter().map(|(name, _)| name)) {
            headers.remove(name);
        }
    }

    pub(super) fn write(&self, claims: &Claims, payload: &str, headers: &mut HeaderMap) {
        if let Some(name) = &self.payload
            && let Ok(value) = HeaderValue::from_str(payload)
        {
            headers.insert(name, value);
        }
        for (name, path) in &self.claims {
            let text = claims.value(path).and_then(told);
            // What cannot stand in a header is not told.
            if let Some(Ok(value)) = text.map(|text| HeaderValue::from_str(&text)) {
                headers.insert(name, value);
            }
        }
    }
}

/// A claim as a header tells it: plain, or JSON in base64url if it is a list or an object.
fn told(claim: &Value) -> Option<String> {
    Some(match claim {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => claim.to_string(),
        Value::Array(_) | Value::Object(_) => URL_SAFE_NO_PAD.encode(claim.to_string()),
    })
}

fn cookie_value<'a>(cookie: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let cookie = cookie.trim_ascii();
    let value = cookie.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    Some(quoted.unwrap_or(value))
}

/// A part of a query without its escapes.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%').then(|| hex(after)).flatten();
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low, ..] = text else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn header_name(name: &str) -> Result<HeaderName, CompileError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Defect::HeaderName(name.into()).into())
}

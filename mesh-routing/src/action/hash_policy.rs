use std::net::IpAddr;

use http::{HeaderName, HeaderValue, header::COOKIE};
use mesh_core::dataplane::HashPolicy;

use crate::{
    CompileError, Defect, RequestHead, compile_error::compile_all, dice::Purpose, hash::xxh64,
    request::header_text,
};

/// What keeps requests on one instance, in order.
#[derive(Debug, Default)]
pub struct HashPolicies(Box<[Key]>);

#[derive(Debug)]
enum Key {
    Header(HeaderName),
    Cookie {
        name: Box<str>,
        /// What follows the value in `set-cookie`, if cookies are made.
        attributes: Option<Box<str>>,
    },
    SourceIp,
    QueryParameter(Box<str>),
}

/// The hash of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHash {
    /// The hash, if the request has any of the keys.
    pub hash: Option<u64>,
    /// A `set-cookie` for the response, where a cookie was made.
    pub set_cookie: Option<HeaderValue>,
}

impl HashPolicies {
    /// Prepares the keys. Refuses names that cannot be of headers or cookies.
    pub fn compile(policies: &[HashPolicy]) -> Result<Self, CompileError> {
        compile_all("hash", policies, Key::compile).map(Self)
    }

    /// Whether requests go anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hash of a request. Keys it has are combined in order; a missing cookie is made of the
    /// seed where the policy says so.
    pub fn hash(&self, head: &RequestHead<'_>, source: IpAddr, seed: u64) -> RequestHash {
        let mut result = RequestHash::default();
        for key in &self.0 {
            let part = match key {
                Key::Header(name) => header_text(head.headers, name).map(|text| hash_of(&text)),
                Key::SourceIp => Some(of_address(source)),
                Key::QueryParameter(name) => head.query_parameter(name).map(hash_of),
                Key::Cookie { name, attributes } => match (cookie(head, name), attributes) {
                    (Some(value), _) => Some(hash_of(value)),
                    (None, Some(attributes)) => {
                        let value = format!("{:016x}", Purpose::Cookie.draw(seed));
                        let text = format!("{name}=\"{value}\"{attributes}");
                        result.set_cookie = HeaderValue::from_str(&text).ok();
                        Some(hash_of(&value))
                    }
                    (None, None) => None,
                },
            };
            if let Some(part) = part {
                let before = result.hash.map_or(0, |hash| hash.rotate_left(1));
                result.hash = Some(before ^ part);
            }
        }
        result
    }
}

impl Key {
    fn compile(policy: &HashPolicy) -> Result<Self, CompileError> {
        Ok(match policy {
            HashPolicy::Header(name) => Self::Header(
                HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| Defect::HeaderName(name.clone()))?,
            ),
            HashPolicy::Cookie {
                name,
                path,
                ttl,
                attributes: more,
            } => {
                let attributes = ttl.map(|ttl| {
                    let age = match ttl.as_secs() {
                        0 => String::new(),
                        seconds => format!("; Max-Age={seconds}"),
                    };
                    let path = match path.as_str() {
                        "" => String::new(),
                        path => format!("; Path={path}"),
                    };
                    let more: String = more
                        .iter()
                        .map(|(name, value)| match value.as_str() {
                            "" => format!("; {name}"),
                            value => format!("; {name}={value}"),
                        })
                        .collect();
                    format!("{age}{path}{more}; HttpOnly").into_boxed_str()
                });
                let sample = format!("{name}{}", attributes.as_deref().unwrap_or_default());
                if name.is_empty() || HeaderValue::from_str(&sample).is_err() {
                    return Err(Defect::HeaderValue(sample).into());
                }
                Self::Cookie {
                    name: name.as_str().into(),
                    attributes,
                }
            }
            HashPolicy::SourceIp => Self::SourceIp,
            HashPolicy::QueryParameter(name) => Self::QueryParameter(name.as_str().into()),
        })
    }
}

fn hash_of(text: &str) -> u64 {
    xxh64(text.as_bytes(), 0)
}

/// The hash of a caller's address, for connections as for requests: IPv4 in either spelling alike.
pub fn of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => xxh64(&v4.octets(), 0),
        IpAddr::V6(v6) => xxh64(&v6.octets(), 0),
    }
}

/// The value of a cookie (RFC 6265, section 4.2.1), without its quotes.
fn cookie<'a>(head: &RequestHead<'a>, name: &str) -> Option<&'a str> {
    head.headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
        .filter(|value| !value.is_empty())
}

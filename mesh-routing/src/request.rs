use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{access::Claims, joined::joined};

/// A request as decisions see it: borrowed, without a body.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path without its query; empty for a plain CONNECT.
    pub path: &'a str,
    /// What follows the `?`, if there is one.
    pub query: Option<&'a str>,
    /// The host the caller asked for, with its port if one was given.
    pub authority: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What its token says, once it was verified; none before, and none without one.
    pub claims: Option<&'a Claims>,
}

impl RequestHead<'_> {
    /// Whether this is a gRPC request: `application/grpc` or a subtype of it such as
    /// `application/grpc+proto`, but not gRPC-Web.
    pub fn is_grpc(&self) -> bool {
        self.headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'+')
    }

    /// The path with its query, as it stands in a request line.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        match self.query {
            Some(query) => Cow::Owned(format!("{}?{query}", self.path)),
            None => Cow::Borrowed(self.path),
        }
    }

    /// The first value of a query parameter, as written; empty if it stands without `=`.
    pub fn query_parameter(&self, name: &str) -> Option<&str> {
        self.query?
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// A header's text: several values joined by commas, bytes that are no UTF-8 replaced. Borrowed
/// unless the header comes several times or is malformed.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter();
    let first = String::from_utf8_lossy(values.next()?.as_bytes());
    Some(values.fold(first, |text, value| {
        let mut text = text.into_owned();
        text.push(',');
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        Cow::Owned(text)
    }))
}

/// Looks at what [`header_text`] says, without the heap unless it is very long or malformed.
pub(crate) fn look_at_header<R>(
    headers: &HeaderMap,
    name: &HeaderName,
    look: impl FnOnce(Option<&str>) -> R,
) -> R {
    let values = headers.get_all(name);
    let text = |value| str::from_utf8(HeaderValue::as_bytes(value));
    let mut several = values.iter();
    match (several.next().map(text), several.next()) {
        (None, _) => look(None),
        (Some(Ok(only)), None) => look(Some(only)),
        _ if values.iter().all(|value| text(value).is_ok()) => {
            let pieces = || {
                let texts = values.iter().filter_map(|value| text(value).ok());
                let commas = std::iter::once("").chain(std::iter::repeat(","));
                commas.zip(texts).flat_map(|(comma, text)| [comma, text])
            };
            joined(pieces, |text| look(Some(text)))
        }
        _ => look(header_text(headers, name).as_deref()),
    }
}

/// Splits an authority into host and port text. The port is what follows the last colon, if it is
/// all digits and the colon is not part of an IPv6 address.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (authority, want) in [
            ("a", ("a", None)),
            ("a:80", ("a", Some("80"))),
            ("a:", ("a:", None)),
            ("a:b", ("a:b", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:80", ("[::1]", Some("80"))),
            ("::1", ("::1", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split_port(authority), want, "{authority}");
        }
    }

    #[test]
    fn grpc_by_content_type() {
        for (value, want) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", value.parse().unwrap());
            let head = RequestHead {
                method: &Method::POST,
                path: "/",
                query: None,
                authority: "a",
                scheme: "http",
                headers: &headers,
                claims: None,
            };
            assert_eq!(head.is_grpc(), want, "{value}");
        }
    }
}

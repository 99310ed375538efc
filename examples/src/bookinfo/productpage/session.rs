//! Who is signed in: a name in a cookie, with no password behind it. This is a demonstration.

use std::fmt;

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};

use crate::bookinfo::forward::to_neighbour;

/// Longest user name.
const MAX_NAME_BYTES: usize = 64;
const COOKIE_NAME: &str = "user";

/// A user name that can stand in a header and in a cookie as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User(String);

impl User {
    fn parse(name: &str) -> Option<Self> {
        let name = name.trim_matches(' ');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " ._-@".contains(c);
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len());
        (fits && name.chars().all(is_plain)).then(|| Self(name.to_owned()))
    }

    /// The name in a submitted form (`application/x-www-form-urlencoded`).
    pub(super) fn from_form(form: &[u8]) -> Option<Self> {
        let form = std::str::from_utf8(form).ok()?;
        let name = form
            .split('&')
            .find_map(|field| field.strip_prefix("username="))?;
        Self::parse(&decoded(name)?)
    }

    /// The name in the session cookie, if somebody is signed in.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers
            .get_all(COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == COOKIE_NAME).then(|| Self::parse(value))?)
    }

    /// Starts a session.
    pub(super) fn cookie(&self) -> HeaderValue {
        let cookie = format!("{COOKIE_NAME}={self}; Path=/; HttpOnly; SameSite=Lax");
        HeaderValue::from_str(&cookie).expect("a user name has only plain characters")
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ends a session.
pub(super) const fn goodbye() -> HeaderValue {
    HeaderValue::from_static("user=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

/// Headers for the calls made on behalf of this request; whoever is signed in is the `end-user`.
pub(super) fn onward(incoming: &HeaderMap) -> HeaderMap {
    let mut onward = to_neighbour(incoming);
    if let Some(user) = User::of(incoming) {
        let name = HeaderValue::from_str(&user.0).expect("a user name has only plain characters");
        onward.insert("end-user", name);
    }
    onward
}

/// Undoes form encoding: `+` is a space, `%xx` a byte.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_names_a_user() {
        let check = |form: &str, name: Option<&str>| {
            let user = User::from_form(form.as_bytes());
            assert_eq!(user.as_ref().map(|user| user.0.as_str()), name, "{form}");
        };
        check("username=jason&passwd=", Some("jason"));
        check("passwd=x&username=jason", Some("jason"));
        check("username=a+b%40c", Some("a b@c"));
        check("username=", None);
        check("username=+", None);
        check("username=%0d%0aset-cookie", None);
        check("username=a%3Bb", None);
        check("username=%zz", None);
        check("username=%e2%98%85", None);
        check("username=%", None);
        check("name=jason", None);
        check(&format!("username={}", "a".repeat(65)), None);
    }

    #[test]
    fn a_session_sets_the_end_user() {
        let check = |headers: &[(&str, &str)], end_user: Option<&str>| {
            let mut incoming = HeaderMap::new();
            for (name, value) in headers {
                incoming.append(
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            let onward = onward(&incoming);
            assert_eq!(
                onward.get("end-user").map(|v| v.to_str().unwrap()),
                end_user
            );
        };
        check(&[], None);
        check(&[("cookie", "user=jason")], Some("jason"));
        check(&[("cookie", "a=b; user=jason; c=d")], Some("jason"));
        check(
            &[("cookie", "a=b"), ("cookie", "user=jason")],
            Some("jason"),
        );
        check(&[("cookie", "user=")], None);
        check(&[("cookie", "superuser=jason")], None);
        check(&[("end-user", "jason")], Some("jason"));
        check(
            &[("end-user", "jason"), ("cookie", "user=izzy")],
            Some("izzy"),
        );
    }

    #[test]
    fn what_the_cookie_says_is_read_back() {
        let user = User::parse("jason").unwrap();
        let cookie = user.cookie();
        let sent = cookie.to_str().unwrap().split(';').next().unwrap();
        let headers = HeaderMap::from_iter([(COOKIE, sent.parse().unwrap())]);
        assert_eq!(User::of(&headers), Some(user));
    }
}

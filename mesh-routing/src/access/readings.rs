//! The other paths that a destination may take a path for.
//!
//! Proxies and applications disagree on a few spellings: whether `%2F` is a slash, `//` is `/`, and
//! whether `;` ends a segment. A rule that denies must hold for each of them, and one that allows
//! must not open more than it says by any (the class of CVE-2021-31920, CVE-2021-29492 and
//! Tomcat's `..;`).

use crate::path::resolve_dots;

/// Every other reading of a path; none for one that everybody reads alike.
pub(super) fn of(path: &str) -> Vec<String> {
    if !is_odd(path) {
        return Vec::new();
    }
    let decoded = decoded(path);
    let mut readings = vec![
        one_spelling(&decoded),
        one_spelling(&self::decoded(&without_parameters(path))),
        one_spelling(&without_parameters(&decoded)),
    ];
    readings.sort();
    readings.dedup();
    readings.retain(|reading| reading != path);
    readings
}

fn is_odd(path: &str) -> bool {
    let mut last = 0;
    let odd = |byte: u8| {
        let pair = (std::mem::replace(&mut last, byte), byte);
        matches!(pair, (_, b'%' | b'\\' | b';') | (b'/', b'.' | b'/'))
    };
    path.starts_with('/') && path.bytes().any(odd)
}

/// Without what follows a `;` within each segment (RFC 3986, section 3.3).
fn without_parameters(path: &str) -> String {
    let segments = path.split_inclusive(['/', '\\']);
    let mut out = String::with_capacity(path.len());
    for segment in segments {
        let end = segment.find(';').unwrap_or(segment.len());
        out.push_str(&segment[..end]);
        if end < segment.len() && segment.ends_with(['/', '\\']) {
            out.push('/');
        }
    }
    out
}

/// Every escape undone, once. Bytes that are no text then are replaced.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'%').then(|| hex(after)).flatten();
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(text: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let [high, low, ..] = text else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// One slash for each run of slashes and backslashes, and no dot segments.
fn one_spelling(path: &str) -> String {
    let mut merged = String::with_capacity(path.len() + 1);
    for c in path.chars() {
        let c = if c == '\\' { '/' } else { c };
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    match merged.starts_with('/') {
        true => resolve_dots(&merged),
        false => merged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings() {
        for (path, want) in [
            ("/admin", &[][..]),
            ("/a.b/c-d_e~f", &[]),
            ("*", &[]),
            ("", &[]),
            ("//admin", &["/admin"]),
            ("/admin%2Fx", &["/admin/x"]),
            ("/admin%2fx", &["/admin/x"]),
            ("/admin;x", &["/admin"]),
            ("/admin%3Bx", &["/admin", "/admin;x"]),
            ("/a/..;/admin", &["/a/..;/admin", "/admin"][1..]),
            ("/a;x%2F..%2Fadmin", &["/a", "/admin"]),
            ("/a%5C..%5cadmin", &["/admin"]),
            ("/%2e%2E/admin", &["/admin"]),
            ("/a/%2e", &["/a/"]),
            ("/a%252Fb", &["/a%2Fb"]),
            ("/%", &[]),
            ("/%g0", &[]),
            ("/%ff", &["/\u{fffd}"]),
            ("/a;p/b;q/c", &["/a/b/c"]),
        ] {
            assert_eq!(of(path), want, "{path}");
        }
    }
}

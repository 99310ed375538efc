use super::MAX_SNIFF_LEN;

/// Whether plaintext begins with HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpSniff {
    /// The bytes so far may become HTTP; ask again with more of them.
    NeedMore,
    /// A request line of HTTP/1.0 or 1.1 (RFC 9112, section 3).
    Http1,
    /// The connection preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
    /// Something else.
    Other,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HTTP1: &[u8] = b"HTTP/1.";
/// Longer methods are taken for another protocol. The longest one registered has 17 bytes.
const MAX_METHOD_LEN: usize = 32;

/// Tells HTTP from anything else. `bytes` is everything received so far.
pub fn sniff_http(bytes: &[u8]) -> HttpSniff {
    if bytes.starts_with(PREFACE) {
        return HttpSniff::Http2;
    }
    if PREFACE.starts_with(bytes) {
        return HttpSniff::NeedMore;
    }
    match request_line(bytes) {
        // All of it has the grammar of a request line, however long: an HTTP parser should be the
        // one to refuse it.
        HttpSniff::NeedMore if bytes.len() >= MAX_SNIFF_LEN => HttpSniff::Http1,
        decided => decided,
    }
}

fn request_line(bytes: &[u8]) -> HttpSniff {
    let bytes = skip_empty_lines(bytes);
    let mut parts = bytes.splitn(3, |&byte| byte == b' ');
    let method = parts.next().unwrap_or_default();
    if method.len() > MAX_METHOD_LEN || !method.iter().copied().all(is_token) {
        return HttpSniff::Other;
    }
    let Some(target) = parts.next() else {
        return HttpSniff::NeedMore;
    };
    if method.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return HttpSniff::Other;
    }
    let Some(version) = parts.next() else {
        return HttpSniff::NeedMore;
    };
    match version.get(..HTTP1.len()) {
        _ if target.is_empty() => HttpSniff::Other,
        Some(start) if start == HTTP1 => HttpSniff::Http1,
        None if HTTP1.starts_with(version) => HttpSniff::NeedMore,
        _ => HttpSniff::Other,
    }
}

/// RFC 9112, section 2.2: a server ignores empty lines before the request line.
fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    if bytes == b"\r" { b"" } else { bytes }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

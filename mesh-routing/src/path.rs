//! Paths in one spelling, so that rules see what the destination will see.
//!
//! RFC 3986, section 6.2.2: escapes of unreserved characters are undone, dot segments resolved.
//! Beyond it, as browsers and servers do, a backslash counts as a slash.

use std::borrow::Cow;

use mesh_core::dataplane::EscapedSlashes;

/// Which spellings are unified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Normalise by RFC 3986.
    pub normalize: bool,
    /// Take `//` for `/`.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

/// A path that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NormalPath<'a> {
    /// On its way, borrowed if nothing changed.
    Forward(Cow<'a, str>),
    /// The caller is to ask for this path instead.
    Redirect(String),
}

/// Why a path is refused: the answer is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It has an escaped slash or backslash.
    #[error("the path has an escaped slash")]
    EscapedSlash,
    /// It has a NUL, which ends texts in some languages.
    #[error("the path has a NUL")]
    Nul,
    /// It has a fragment, which callers are to keep for themselves (RFC 3986, section 3.5).
    #[error("the path has a fragment")]
    Fragment,
}

impl PathRules {
    /// The path, without its query, in one spelling. Doing it twice is doing it once. A path that
    /// does not begin with a slash (`*`, or a plain CONNECT's none) stays as it is.
    pub fn apply<'a>(&self, path: &'a str) -> Result<NormalPath<'a>, PathError> {
        if path.contains('#') {
            return Err(PathError::Fragment);
        }
        if self.is_plain(path) {
            return Ok(NormalPath::Forward(Cow::Borrowed(path)));
        }
        let unescape = match self.escaped_slashes {
            EscapedSlashes::Reject if has_escaped_slash(path) => {
                return Err(PathError::EscapedSlash);
            }
            EscapedSlashes::Keep | EscapedSlashes::Reject => false,
            EscapedSlashes::UnescapeAndRedirect | EscapedSlashes::UnescapeAndForward => true,
        };
        let redirect =
            self.escaped_slashes == EscapedSlashes::UnescapeAndRedirect && has_escaped_slash(path);
        let normal = self.rewrite(path, unescape)?;
        Ok(if redirect {
            NormalPath::Redirect(normal)
        } else if normal == path {
            NormalPath::Forward(Cow::Borrowed(path))
        } else {
            NormalPath::Forward(Cow::Owned(normal))
        })
    }

    /// Whether there is certainly nothing to do.
    fn is_plain(&self, path: &str) -> bool {
        let mut last = 0;
        let odd = |byte: u8| {
            let pair = (std::mem::replace(&mut last, byte), byte);
            matches!(pair, (_, b'%' | b'\\' | 0) | (b'/', b'.' | b'/'))
        };
        !path.starts_with('/') || !path.bytes().any(odd)
    }

    fn rewrite(&self, path: &str, unescape_slashes: bool) -> Result<String, PathError> {
        let mut text = self.unescape(path, unescape_slashes)?;
        if self.normalize {
            text = resolve_dots(&text);
        }
        if self.merge_slashes {
            let mut last = '\0';
            text.retain(|c| !(std::mem::replace(&mut last, c) == '/' && c == '/'));
        }
        Ok(text)
    }

    fn unescape(&self, path: &str, slashes: bool) -> Result<String, PathError> {
        let mut out = String::with_capacity(path.len());
        let mut rest = path;
        while let Some(c) = rest.chars().next() {
            let escaped = (c == '%').then(|| escape(rest)).flatten();
            match (c, escaped) {
                ('\0', _) | (_, Some(b'\0')) => return Err(PathError::Nul),
                ('\\', _) if self.normalize => out.push('/'),
                (_, Some(b'/' | b'\\')) if slashes => out.push('/'),
                (_, Some(byte)) if self.normalize && is_unreserved(byte) && !is_open(&out) => {
                    out.push(byte.into());
                }
                (_, Some(_)) => out.push_str(&rest[..3]),
                (c, None) => out.push(c),
            }
            rest = &rest[if escaped.is_some() { 3 } else { c.len_utf8() }..];
        }
        Ok(out)
    }
}

/// What an escape at the beginning of a text stands for.
fn escape(text: &str) -> Option<u8> {
    let digits = text.get(1..3)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u8::from_str_radix(digits, 16).ok())?
}

fn has_escaped_slash(path: &str) -> bool {
    path.match_indices('%')
        .any(|(at, _)| matches!(escape(&path[at..]), Some(b'/' | b'\\')))
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a text ends in the beginning of an escape that an unescaped digit would complete:
/// undoing `%2%45` would make `%2E`, which a second look would undo again.
fn is_open(text: &str) -> bool {
    match text.as_bytes() {
        [.., b'%'] => true,
        [.., b'%', digit] => digit.is_ascii_hexdigit(),
        _ => false,
    }
}

/// RFC 3986, section 5.2.4, for a path that begins with a slash.
pub(crate) fn resolve_dots(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.truncate(out.rfind('/').unwrap_or(0));
                }
                if last {
                    out.push('/');
                }
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    out
}

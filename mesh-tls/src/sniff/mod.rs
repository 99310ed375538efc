//! First bytes of a connection, and what they say about it. Pure, bounded, without I/O.
//!
//! Two questions, asked one after the other: is it TLS ([`sniff`])? If not, is it HTTP
//! ([`sniff_http`])? Both say so when they need more bytes, and both decide at the latest when
//! they have seen [`MAX_SNIFF_LEN`].

mod hello;
mod http;

pub use hello::ClientHello;
pub use http::{HttpSniff, sniff_http};

/// Both questions are decided after this many bytes at the latest.
pub const MAX_SNIFF_LEN: usize = 16 * 1024;

/// Whether a connection begins with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sniff {
    /// The bytes so far are the beginning of a ClientHello; ask again with more of them.
    NeedMore,
    /// Not TLS; or TLS so malformed or so long that nobody could answer it.
    Plaintext,
    /// TLS, and what the client asks for.
    Tls(ClientHello),
}

/// Tells TLS from anything else.
///
/// `bytes` is everything received so far. A ClientHello that is spread over several records or
/// several reads is put together.
pub fn sniff(bytes: &[u8]) -> Sniff {
    match hello::parse(bytes) {
        Ok(hello) => Sniff::Tls(hello),
        Err(hello::Unread::NeedMore) if bytes.len() < MAX_SNIFF_LEN => Sniff::NeedMore,
        Err(_) => Sniff::Plaintext,
    }
}

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::MAX_SNIFF_LEN;

/// What a client asks for before anything is encrypted (RFC 8446, section 4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// The server name (SNI), in lower case.
    pub server_name: Option<String>,
    /// The application protocols (ALPN) offered, best first.
    pub alpn: Vec<Vec<u8>>,
}

/// Why there is no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    NeedMore,
    NotTls,
}

const HANDSHAKE_RECORD: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 8446, section 5.1.
const MAX_RECORD_LEN: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u16 = 16;

pub(super) fn parse(bytes: &[u8]) -> Result<ClientHello, Unread> {
    let message = gather(bytes)?;
    // From here on the whole message is there: what is missing, is missing for good.
    parse_message(&message).ok_or(Unread::NotTls)
}

/// Puts the handshake message together from the records it is spread over.
fn gather(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Unread> {
    let (first, mut rest) = record(bytes)?;
    let mut message = Cow::Borrowed(first);
    loop {
        if let Some(length) = message_len(&message)?
            && message.len() >= length
        {
            return Ok(truncated(message, length));
        }
        let (more, after) = record(rest)?;
        message.to_mut().extend_from_slice(more);
        rest = after;
    }
}

/// The payload of the first record, as far as it is there, and what follows it.
///
/// A record that is not complete gives what there is of it, and an empty rest.
fn record(bytes: &[u8]) -> Result<(&[u8], &[u8]), Unread> {
    let header = bytes.get(..5).unwrap_or(bytes);
    let fits = |index: usize, fit: fn(u8) -> bool| header.get(index).is_none_or(|&byte| fit(byte));
    // Every version of TLS writes major version 3 and minor 0 to 4 here.
    if !(fits(0, |byte| byte == HANDSHAKE_RECORD)
        && fits(1, |byte| byte == 3)
        && fits(2, |byte| byte <= 4))
    {
        return Err(Unread::NotTls);
    }
    let [_, _, _, high, low] = *header else {
        return Err(Unread::NeedMore);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > MAX_RECORD_LEN {
        return Err(Unread::NotTls);
    }
    let body = &bytes[5..];
    Ok(body.split_at(length.min(body.len())))
}

/// The length of the handshake message with its header, once that header is there.
fn message_len(message: &[u8]) -> Result<Option<usize>, Unread> {
    if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
        return Err(Unread::NotTls);
    }
    let Some(&[_, a, b, c]) = message.first_chunk() else {
        return Ok(None);
    };
    match 4 + u32::from_be_bytes([0, a, b, c]) as usize {
        length if length > MAX_SNIFF_LEN => Err(Unread::NotTls),
        length => Ok(Some(length)),
    }
}

fn truncated(message: Cow<'_, [u8]>, length: usize) -> Cow<'_, [u8]> {
    match message {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..length]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(length);
            Cow::Owned(bytes)
        }
    }
}

fn parse_message(message: &[u8]) -> Option<ClientHello> {
    let mut body = Reader(message.get(4..)?);
    let _version = body.take(2)?;
    let _random = body.take(32)?;
    let _session_id = body.short_list()?;
    let _cipher_suites = body.long_list()?;
    let _compression = body.short_list()?;
    let mut hello = ClientHello::default();
    if body.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(body.long_list()?);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let content = Reader(extensions.long_list()?);
        match kind {
            SERVER_NAME => hello.server_name = server_name(content)?,
            ALPN => hello.alpn = protocols(content)?,
            _ => {}
        }
    }
    body.0.is_empty().then_some(hello)
}

/// RFC 6066, section 3: a list in which only a host name has ever been defined.
fn server_name(mut content: Reader<'_>) -> Option<Option<String>> {
    let mut names = Reader(content.long_list()?);
    let mut host = None;
    while !names.0.is_empty() {
        let kind = names.take(1)?[0];
        let name = names.long_list()?;
        if kind == HOST_NAME {
            let text = std::str::from_utf8(name)
                .ok()
                .filter(|name| name.is_ascii())?;
            host = Some(text.to_ascii_lowercase());
        }
    }
    Some(host)
}

/// RFC 7301, section 3.1.
fn protocols(mut content: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(content.long_list()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.short_list()?.to_vec());
    }
    Some(protocols)
}

/// Takes bytes from the front; `None` once there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind a length of one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    /// Bytes behind a length of two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

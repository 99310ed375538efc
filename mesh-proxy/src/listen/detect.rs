use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use mesh_core::dataplane::{ListenerFilters, TransportProtocol};
use mesh_tls::sniff::{HttpSniff, MAX_SNIFF_LEN, Sniff, sniff, sniff_http};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout, timeout_at},
};

/// What the first bytes of a connection said.
#[derive(Debug, Default)]
pub(super) struct Detected {
    /// The bytes themselves, to be given back.
    pub(super) seen: Bytes,
    pub(super) transport: Option<TransportProtocol>,
    pub(super) server_name: Option<String>,
    /// ALPN names, or what clear text looks like in their terms.
    pub(super) protocols: Vec<String>,
    pub(super) http2: bool,
}

/// Looks at the first bytes as far as the listener wants to know. Waits no longer than it says: a
/// server that speaks first must not be waited for.
pub(super) async fn detect<IO>(io: &mut IO, filters: &ListenerFilters) -> io::Result<Detected>
where
    IO: AsyncRead + Unpin,
{
    if !filters.tls_inspector && !filters.http_inspector {
        return Ok(Detected::default());
    }
    let mut seen = BytesMut::new();
    let looked = match filters.timeout.filter(|limit| !limit.is_zero()) {
        None => look(io, filters, &mut seen).await,
        Some(limit) => match timeout(limit, look(io, filters, &mut seen)).await {
            Ok(looked) => looked,
            Err(_) if filters.continue_on_timeout => Ok(Detected::default()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
    };
    Ok(Detected {
        seen: seen.freeze(),
        ..looked?
    })
}

/// Tells HTTP/2 in clear text from HTTP/1, for chains that serve both. Returns the bytes read.
pub(super) async fn detect_http2<IO>(io: &mut IO, seen: Bytes) -> io::Result<(Bytes, bool)>
where
    IO: AsyncRead + Unpin,
{
    let mut seen = BytesMut::from(seen);
    let deadline = Instant::now() + FIRST_BYTES;
    loop {
        match sniff_http(&seen) {
            HttpSniff::NeedMore => {}
            answer => return Ok((seen.freeze(), answer == HttpSniff::Http2)),
        }
        if timeout_at(deadline, read_more(io, &mut seen)).await?? == 0 {
            return Ok((seen.freeze(), false));
        }
    }
}

/// A caller that wants HTTP, or that began to say what it wants, must have said it by then.
const FIRST_BYTES: Duration = Duration::from_secs(15);

/// Bytes asked for at a time.
const READ: usize = 4 * 1024;

async fn look<IO>(
    io: &mut IO,
    filters: &ListenerFilters,
    seen: &mut BytesMut,
) -> io::Result<Detected>
where
    IO: AsyncRead + Unpin,
{
    let mut deadline = None;
    loop {
        if let Some(detected) = judge(seen, filters) {
            return Ok(detected);
        }
        let read = match deadline {
            None => read_more(io, seen).await?,
            Some(deadline) => timeout_at(deadline, read_more(io, seen)).await??,
        };
        if read == 0 {
            return Ok(Detected::default());
        }
        // Who keeps silent may wait for the server; who began to speak must go on.
        deadline.get_or_insert_with(|| Instant::now() + FIRST_BYTES);
    }
}

fn judge(seen: &[u8], filters: &ListenerFilters) -> Option<Detected> {
    if seen.is_empty() {
        return None;
    }
    if filters.tls_inspector {
        match sniff(seen) {
            Sniff::NeedMore => return None,
            Sniff::Tls(hello) => {
                let protocols = hello.alpn.iter();
                return Some(Detected {
                    transport: Some(TransportProtocol::Tls),
                    server_name: hello.server_name,
                    protocols: protocols
                        .map(|name| String::from_utf8_lossy(name).into_owned())
                        .collect(),
                    ..Detected::default()
                });
            }
            Sniff::Plaintext => {}
        }
    }
    if !filters.http_inspector {
        return Some(Detected::default());
    }
    let (protocol, http2) = match sniff_http(seen) {
        HttpSniff::NeedMore => return None,
        HttpSniff::Http1 => (Some("http/1.1"), false),
        HttpSniff::Http2 => (Some("h2c"), true),
        HttpSniff::Other => (None, false),
    };
    let protocols = protocol.map(str::to_owned).into_iter().collect();
    Some(Detected {
        protocols,
        http2,
        ..Detected::default()
    })
}

async fn read_more<IO>(io: &mut IO, seen: &mut BytesMut) -> io::Result<usize>
where
    IO: AsyncRead + Unpin,
{
    if seen.len() >= MAX_SNIFF_LEN {
        return Ok(0);
    }
    seen.reserve(READ);
    io.read_buf(seen).await
}

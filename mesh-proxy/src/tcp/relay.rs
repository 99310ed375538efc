use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

/// How much was passed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// Bytes from the caller.
    pub(crate) received: Cell<u64>,
    /// Bytes to the caller.
    pub(crate) sent: Cell<u64>,
}

/// Bytes held per direction.
const BUFFER: usize = 16 * 1024;

/// Passes bytes on both ways until both sides have ended, or nothing moved for `idle`. One side's
/// end is passed on as such; the other may go on. `relayed` counts, however it ends.
pub(crate) async fn relay<A, B>(
    downstream: A,
    upstream: B,
    idle: Option<Duration>,
    relayed: &Relayed,
) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Cell::new(Instant::now());
    let (down_read, down_write) = split(downstream);
    let (up_read, up_write) = split(upstream);
    let both = async {
        tokio::try_join!(
            pass(down_read, up_write, &moved, &relayed.received),
            pass(up_read, down_write, &moved, &relayed.sent),
        )
    };
    match idle {
        None => both.await?,
        Some(idle) => tokio::select! {
            done = both => done?,
            () = silence(&moved, idle) => return Err(io::ErrorKind::TimedOut.into()),
        },
    };
    Ok(())
}

async fn pass<R, W>(
    mut from: ReadHalf<R>,
    mut to: WriteHalf<W>,
    moved: &Cell<Instant>,
    total: &Cell<u64>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let len = from.read(&mut buffer).await?;
        moved.set(Instant::now());
        if len == 0 {
            to.shutdown().await?;
            return Ok(());
        }
        to.write_all(&buffer[..len]).await?;
        to.flush().await?;
        total.set(total.get() + len as u64);
    }
}

async fn silence(moved: &Cell<Instant>, idle: Duration) {
    loop {
        let quiet = moved.get().elapsed();
        if quiet >= idle {
            return;
        }
        tokio::time::sleep(idle - quiet).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn one_side_may_end_before_the_other() {
        let (mut caller, downstream) = duplex(64);
        let (upstream, mut server) = duplex(64);
        let relayed = Relayed::default();
        let relaying = relay(downstream, upstream, None, &relayed);
        let talking = async {
            caller.write_all(b"question").await.unwrap();
            caller.shutdown().await.unwrap();
            let mut question = String::new();
            server.read_to_string(&mut question).await.unwrap();
            assert_eq!(question, "question");
            server.write_all(b"the answer").await.unwrap();
            server.shutdown().await.unwrap();
            let mut answer = String::new();
            caller.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "the answer");
        };
        let (ended, ()) = tokio::join!(relaying, talking);
        ended.unwrap();
        assert_eq!(
            relayed,
            Relayed {
                received: Cell::new(8),
                sent: Cell::new(10)
            }
        );
    }

    #[tokio::test]
    async fn silence_ends_it() {
        let (_caller, downstream) = duplex(64);
        let (upstream, _server) = duplex(64);
        let idle = Some(Duration::from_millis(5));
        let ended = relay(downstream, upstream, idle, &Relayed::default()).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One of two streams. Cheaper than a trait object where one of them is the common case.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The common one.
    Left(A),
    /// The other one.
    Right(B),
}

impl<A, B> AsyncRead for Either<A, B>
where
    A: AsyncRead + Unpin,
    B: AsyncRead + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Left(left) => Pin::new(left).poll_read(context, buffer),
            Self::Right(right) => Pin::new(right).poll_read(context, buffer),
        }
    }
}

impl<A, B> AsyncWrite for Either<A, B>
where
    A: AsyncWrite + Unpin,
    B: AsyncWrite + Unpin,
{
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Left(left) => Pin::new(left).poll_write(context, bytes),
            Self::Right(right) => Pin::new(right).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Left(left) => Pin::new(left).poll_write_vectored(context, parts),
            Self::Right(right) => Pin::new(right).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Left(left) => left.is_write_vectored(),
            Self::Right(right) => right.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Left(left) => Pin::new(left).poll_flush(context),
            Self::Right(right) => Pin::new(right).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Left(left) => Pin::new(left).poll_shutdown(context),
            Self::Right(right) => Pin::new(right).poll_shutdown(context),
        }
    }
}

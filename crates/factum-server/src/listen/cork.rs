//! A connection that lets all that is ready be said at once.
//!
//! A commit answers many requests, each in a task of its own. Where the connection wrote as soon as the first had answered, each answer would be
//! a packet and a call to the system, for the client too. So it lets the tasks run that are ready now before it writes.
//!
//! Relies on: a runtime that puts a task which wakes itself behind the others that are ready, as Tokio does. Never: waits for anything that is
//! not ready.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is written once the other tasks had their turn.
#[derive(Debug)]
pub(super) struct Cork<S> {
    stream: S,
    /// Whether they had it since the last flush.
    open: bool,
}

impl<S> Cork<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            open: false,
        }
    }

    /// Ready when the others had their turn.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.open {
            return Poll::Ready(());
        }
        self.open = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cork<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cork<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.open = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What is ready runs before the write, and after a flush the next write waits again.
    #[tokio::test]
    async fn those_that_are_ready_run_first() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut cork = Cork::new(near);
        let ran = Arc::new(AtomicUsize::new(0));
        for turn in 1..=3 {
            for _ in 0..5 {
                let ran = Arc::clone(&ran);
                tokio::spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
            }
            assert_eq!(ran.load(Ordering::Relaxed), (turn - 1) * 5);
            cork.write_all(b"a").await.unwrap();
            assert_eq!(ran.load(Ordering::Relaxed), turn * 5);
            // More before the flush goes at once.
            let more =
                poll_fn(|context| Poll::Ready(Pin::new(&mut cork).poll_write(context, b"b")));
            assert!(more.await.is_ready());
            cork.flush().await.unwrap();
            let mut read = [0; 2];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"ab");
        }
    }
}

//! The bytes that a connection has received, counted below its protocol.
//!
//! The WebSocket library gives whole messages. A client may send any number of empty fragments within one message, which
//! cost the server work and never become a message. Only the count of bytes shows them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes received on one connection.
#[derive(Debug, Default)]
pub(super) struct Received(AtomicU64);

impl Received {
    /// The bytes up to now.
    pub(super) fn bytes(&self) -> u64 {
        // A count by itself: no other memory has to be in step with it.
        self.0.load(Ordering::Relaxed)
    }

    /// Counts some more.
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connection whose received bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    received: Arc<Received>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Received>) {
        let received = Arc::new(Received::default());
        (Self { stream, received: Arc::clone(&received) }, received)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        let bytes = into.filled().len().saturating_sub(before);
        self.received.add(bytes);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

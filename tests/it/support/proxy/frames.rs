//! Counts the statements that a client of Postgres sends.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// Asks whether the server encrypts; the first message comes after it.
const SSL_REQUEST: u32 = 80_877_103;

/// Where in the client's bytes the count is.
#[derive(Debug, Default)]
struct Frames {
    /// The first message has no type. After its length it names a version of the protocol.
    is_started: bool,
    /// The beginning of the present message, as far as it is there.
    head: Vec<u8>,
    /// Bytes of the present message that are still to come.
    rest: usize,
}

impl Frames {
    /// How many of the messages that begin in `bytes` are statements: `Execute` and `Query`.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let wanted = if self.is_started { 5 } else { 8 };
            if self.head.len() < wanted {
                continue;
            }
            let number = |from: usize| u32::from_be_bytes(self.head[from..from + 4].try_into().unwrap());
            if self.is_started {
                self.rest = usize::try_from(number(1)).unwrap() - 4;
                count += u64::from(matches!(self.head[0], b'E' | b'Q'));
            } else {
                self.rest = usize::try_from(number(0)).unwrap() - 8;
                self.is_started = number(4) != SSL_REQUEST;
            }
            self.head.clear();
        }
        count
    }
}

/// A client's connection, whose statements are counted as they are read.
pub(super) struct Counted {
    stream: UnixStream,
    frames: Frames,
    count: Arc<AtomicU64>,
}

impl Counted {
    pub(super) fn new(stream: UnixStream, count: Arc<AtomicU64>) -> Self {
        Self { stream, frames: Frames::default(), count }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        let count = self.frames.count(&into.filled()[before..]);
        self.count.fetch_add(count, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

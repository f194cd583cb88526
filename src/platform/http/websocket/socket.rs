//! The WebSocket with its send queue. Neither reading nor writing ever waits for the other.

use std::{
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use futures_util::{Sink, StreamExt};
use tungstenite::{Error as TungsteniteError, error::ProtocolError};

use super::{protocol::Close, send_queue::SendQueue};
use crate::platform::{config::HttpSettings, http::received::Received};

/// Bytes of the read buffer. It is allocated eagerly, also for idle sockets, so the default of 128 KiB is far too
/// large. A `subscribe` takes one read or two; the buffer grows for larger messages.
const READ_BUFFER: usize = 512;
/// Bytes gathered before a write, so that a burst of small messages is one system call.
const WRITE_BUFFER: usize = 4 * 1_024;
/// Largest message to send, in bytes. The write buffer holds at most one of them besides [`WRITE_BUFFER`].
pub(super) const LARGEST_MESSAGE: usize = 16 * 1_024 * 1_024;

/// Bounds the memory of one socket.
pub(super) fn bounded(upgrade: WebSocketUpgrade, settings: &HttpSettings) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(LARGEST_MESSAGE + 4 * WRITE_BUFFER)
        .max_message_size(settings.body_limit)
        .max_frame_size(settings.body_limit)
}

/// The connection is gone without a close handshake.
#[derive(Debug)]
pub(super) struct ConnectionLost;

/// The outcome of reading.
pub(super) enum Read {
    /// A message, a ping, a pong or the client's close frame.
    Message(Message),
    /// The client violated the WebSocket protocol or a bound. Reading has ended; a close frame can still be sent.
    Broken(Close),
    /// The client has closed the connection.
    Ended,
}

/// Bytes of the smallest frame that a client may send: an empty fragment of a message.
const EMPTY_FRAME: u64 = 6;
/// Bytes of a frame's header at most.
const HEADER: u64 = 14;
/// Bytes that the connection may have received before they became messages: what was read ahead.
const AHEAD: u64 = 64 * 1_024;

/// Tells what a connection has received from the messages that came of it.
struct Traffic {
    received: Option<Arc<Received>>,
    /// Bytes that messages account for.
    explained: u64,
    /// Most bytes of a message.
    message_limit: u64,
}

impl Traffic {
    /// Bytes that no message accounts for.
    fn unexplained(&self) -> u64 {
        self.received.as_ref().map_or(0, |received| received.bytes().saturating_sub(self.explained))
    }

    /// A message of so many bytes was received. Gives the frames that it counts as: more than one if its bytes and those
    /// read ahead leave room for many empty fragments.
    fn message(&mut self, bytes: usize) -> NonZeroU32 {
        self.explained += bytes as u64 + HEADER;
        let excess = self.unexplained().saturating_sub(AHEAD);
        self.explained += excess;
        NonZeroU32::MIN.saturating_add(u32::try_from(excess / EMPTY_FRAME).unwrap_or(u32::MAX))
    }

    /// True if what was received can be no message within the limit.
    fn is_endless(&self) -> bool {
        self.unexplained() > self.message_limit + 2 * AHEAD
    }
}

/// A socket and the messages that wait to be sent.
pub(super) struct Socket {
    stream: WebSocket,
    pub(super) queue: SendQueue,
    traffic: Traffic,
    /// Reading has ended, after a violation or by [`Socket::stop_reading`].
    read_closed: bool,
    /// A message was written since [`Socket::take_progress`].
    progress: bool,
}

impl Socket {
    /// A socket whose client may send messages up to `message_limit`; `received` counts what its connection has received.
    pub(super) fn new(
        stream: WebSocket,
        queue: SendQueue,
        received: Option<Arc<Received>>,
        message_limit: usize,
    ) -> Self {
        // The request for the upgrade came before.
        let explained = received.as_ref().map_or(0, |received| received.bytes());
        let traffic = Traffic { received, explained, message_limit: message_limit as u64 };
        Self { stream, queue, traffic, read_closed: false, progress: false }
    }

    /// The frames that this message counts as.
    pub(super) fn frames_of(&mut self, message: &Message) -> NonZeroU32 {
        let bytes = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Close(frame) => frame.as_ref().map_or(0, |frame| 2 + frame.reason.len()),
        };
        self.traffic.message(bytes)
    }

    /// True when the client has taken a message since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// Writes queued messages as far as the client takes them; returns their number.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Result<u64, ConnectionLost> {
        let mut count = 0;
        while !self.queue.is_empty() {
            // Ready means that the write buffer is nearly empty: it holds at most one message.
            let Poll::Ready(ready) = Pin::new(&mut self.stream).poll_ready(context) else { break };
            ready.map_err(|_| ConnectionLost)?;
            let Some(message) = self.queue.pop() else { break };
            Pin::new(&mut self.stream).start_send(message).map_err(|_| ConnectionLost)?;
            self.progress = true;
            count += 1;
        }
        Ok(count)
    }

    /// Flushes what was written. Called when the task has nothing else to do, so that a burst is one system call.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectionLost>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if !self.queue.is_empty() {
            // The buffer got room after `poll_write`. Nothing else would wake the task to write the rest.
            context.waker().wake_by_ref();
        }
        Poll::Ready(flushed.map_err(|_| ConnectionLost))
    }

    /// Reads no more. What the client sends then stays in the kernel's buffers until the socket is dropped.
    pub(super) fn stop_reading(&mut self) {
        self.read_closed = true;
    }

    /// The next message. Pending for ever after [`Read::Broken`]: the socket stays open for a while, so that the close
    /// frame arrives before the reset that unread bytes cause.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Read> {
        if self.read_closed {
            return Poll::Pending;
        }
        let polled = self.stream.poll_next_unpin(context);
        if polled.is_pending() && self.traffic.is_endless() {
            self.read_closed = true;
            return Poll::Ready(Read::Broken(Close::new(1009, "a message of too many fragments")));
        }
        Poll::Ready(match ready!(polled) {
            Some(Ok(message)) => Read::Message(message),
            None => Read::Ended,
            Some(Err(error)) => match broken(error) {
                Some(close) => {
                    self.read_closed = true;
                    Read::Broken(close)
                }
                None => Read::Ended,
            },
        })
    }
}

/// The close frame for a failed read, with the code of RFC 6455; `None` when the connection is gone.
fn broken(error: axum::Error) -> Option<Close> {
    match *error.into_inner().downcast::<TungsteniteError>().ok()? {
        TungsteniteError::Capacity(_) => Some(Close::new(1009, "message too big")),
        TungsteniteError::Utf8(_) => Some(Close::new(1007, "text must be UTF-8")),
        TungsteniteError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        TungsteniteError::Protocol(problem) => Some(Close::new(1002, problem.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_no_message_accounts_for_count_as_empty_fragments() {
        let (_, received) = crate::platform::http::received::Counted::new(tokio::io::empty());
        let mut traffic = Traffic { received: Some(Arc::clone(&received)), explained: 0, message_limit: 1_000_000 };
        let ahead = usize::try_from(AHEAD).unwrap_or(usize::MAX);
        received.add(1_000 + ahead);
        assert_eq!(traffic.message(1_000).get(), 1, "the next messages were read ahead");
        for _ in 0..100 {
            received.add(1_006);
            assert_eq!(traffic.message(1_000).get(), 1);
        }
        received.add(600_000);
        let frames = traffic.message(10).get();
        assert!((90_000..=110_000).contains(&frames), "{frames}");
        assert!(!traffic.is_endless());
        received.add(1_000_001 + 2 * ahead);
        assert!(traffic.is_endless());
        let mut unknown = Traffic { received: None, explained: 0, message_limit: 10 };
        assert_eq!((unknown.message(5).get(), unknown.is_endless()), (1, false));
    }
}

//! The WebSocket with its send queue. Neither reading nor writing ever waits for the other.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use futures_util::{Sink, StreamExt};
use tungstenite::{Error as TungsteniteError, error::ProtocolError};

use super::{protocol::Close, send_queue::SendQueue};
use crate::platform::config::HttpSettings;

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

/// A socket and the messages that wait to be sent.
pub(super) struct Socket {
    stream: WebSocket,
    pub(super) queue: SendQueue,
    /// Reading has ended, after a violation or by [`Socket::stop_reading`].
    read_closed: bool,
    /// A message was written since [`Socket::take_progress`].
    progress: bool,
}

impl Socket {
    pub(super) fn new(stream: WebSocket, queue: SendQueue) -> Self {
        Self { stream, queue, read_closed: false, progress: false }
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
        Poll::Ready(match ready!(self.stream.poll_next_unpin(context)) {
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

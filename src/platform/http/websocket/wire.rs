//! The socket itself with its outbox: reads and writes without ever waiting for one because of the other.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use futures_util::{Sink, StreamExt};
use tungstenite::{Error as WireError, error::ProtocolError};

use super::{outbox::Outbox, protocol::Close};
use crate::platform::config::HttpSettings;

/// Read at once from one socket. Allocated eagerly, for idle sockets too, so the default of 128 KiB is out of the
/// question; a `subscribe` takes a read or two, and for a larger message it grows.
const READ_BUFFER: usize = 512;
/// Gathered before a write, so that a burst of small messages is one system call.
const WRITE_BUFFER: usize = 4 * 1_024;
/// Largest message that is sent; the buffer below the outbox holds at most one, besides [`WRITE_BUFFER`].
pub(super) const LARGEST_MESSAGE: usize = 16 * 1_024 * 1_024;

/// Bounds of memory for one socket.
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
pub(super) struct Lost;

/// What reading gave.
pub(super) enum Read {
    /// A message, a ping, a pong or the client's close frame.
    Message(Message),
    /// The client broke the WebSocket protocol or a bound; nothing can be read any more, but a close frame be sent.
    Broken(Close),
    /// Nothing more comes.
    Ended,
}

/// A socket and what waits for it.
pub(super) struct Wire {
    socket: WebSocket,
    pub(super) outbox: Outbox,
    /// Reading has ended.
    deaf: bool,
    /// A message was handed over since [`Wire::moved`] was last asked.
    moved: bool,
}

impl Wire {
    pub(super) fn new(socket: WebSocket, outbox: Outbox) -> Self {
        Self { socket, outbox, deaf: false, moved: false }
    }

    /// True when the reader has taken something since this was last asked.
    pub(super) fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Hands over what waits, as far as the reader takes it; returns how many messages that were.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Result<u64, Lost> {
        let mut count = 0;
        while !self.outbox.is_empty() {
            // Ready means that the buffer below is (nearly) empty: at most one message waits there.
            let Poll::Ready(ready) = Pin::new(&mut self.socket).poll_ready(context) else { break };
            ready.map_err(|_| Lost)?;
            let Some(message) = self.outbox.pop() else { break };
            Pin::new(&mut self.socket).start_send(message).map_err(|_| Lost)?;
            self.moved = true;
            count += 1;
        }
        Ok(count)
    }

    /// Pushes out what was handed over. Called when nothing else is to be done, so that bursts are gathered.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let flushed = ready!(Pin::new(&mut self.socket).poll_flush(context));
        if !self.outbox.is_empty() {
            // Room came between the attempt to write and this one: nobody else would wake the task.
            context.waker().wake_by_ref();
        }
        Poll::Ready(flushed.map_err(|_| Lost))
    }

    /// The next message. Pending for ever after [`Read::Broken`]: the socket lingers, so that the close frame
    /// arrives before the reset that unread bytes cause.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Read> {
        if self.deaf {
            return Poll::Pending;
        }
        Poll::Ready(match ready!(self.socket.poll_next_unpin(context)) {
            Some(Ok(message)) => Read::Message(message),
            None => Read::Ended,
            Some(Err(error)) => match broken(error) {
                Some(close) => {
                    self.deaf = true;
                    Read::Broken(close)
                }
                None => Read::Ended,
            },
        })
    }
}

/// The close code of RFC 6455 that a failure to read earns; `None` when there is nobody to tell.
fn broken(error: axum::Error) -> Option<Close> {
    match *error.into_inner().downcast::<WireError>().ok()? {
        WireError::Capacity(_) => Some(Close::new(1009, "message too big")),
        WireError::Utf8(_) => Some(Close::new(1007, "text must be UTF-8")),
        WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WireError::Protocol(problem) => Some(Close::new(1002, problem.to_string())),
        _ => None,
    }
}

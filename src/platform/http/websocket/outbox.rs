//! What waits to be sent to one reader, bounded.
//!
//! Two kinds of message wait in one line. *Results* come from operations: while the outbox is full the socket task
//! does not poll them, so they wait where they are made, and subscriptions re-read the log when they are polled
//! again; nothing is lost. *Replies* answer the client's own messages (`pong`, `error`, `connection_ack`): the
//! socket goes on reading while its writer is stuck, so they cannot be held back, and a client that makes more of
//! them than [`REPLY_BYTES`] without reading any has to go.

use std::collections::VecDeque;

use axum::extract::ws::Message;

/// Replies that may wait, in bytes. One reply is always taken, whatever its size.
const REPLY_BYTES: usize = 64 * 1_024;
/// What a waiting message costs besides its text.
const OVERHEAD: usize = 64;
/// Places kept when the line is empty.
const KEPT_PLACES: usize = 2;

/// The client asks without reading the answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

struct Waiting {
    message: Message,
    bytes: usize,
    reply: bool,
}

/// The line.
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    reply_bytes: usize,
    limit: usize,
}

impl Outbox {
    /// Full from `limit` bytes on.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, reply_bytes: 0, limit }
    }

    /// True when operations must not be polled.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes what an operation has to say.
    pub(super) fn push_result(&mut self, text: String) {
        self.push(text.capacity(), Message::Text(text.into()), false);
    }

    /// Takes the answer to a message of the client.
    pub(super) fn push_reply(&mut self, text: String) -> Result<(), Overflow> {
        if self.reply_bytes >= REPLY_BYTES {
            return Err(Overflow);
        }
        self.push(text.capacity(), Message::Text(text.into()), true);
        Ok(())
    }

    /// Takes a ping or close frame.
    pub(super) fn push_frame(&mut self, frame: Message) {
        self.push(0, frame, false);
    }

    fn push(&mut self, text: usize, message: Message, reply: bool) {
        let bytes = text + OVERHEAD;
        self.bytes += bytes;
        self.reply_bytes += if reply { bytes } else { 0 };
        self.waiting.push_back(Waiting { message, bytes, reply });
    }

    /// The message whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.bytes;
        self.reply_bytes -= if next.reply { next.bytes } else { 0 };
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT_PLACES);
        }
        Some(next.message)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_of_results_still_takes_replies_up_to_their_own_bound() {
        let mut outbox = Outbox::new(1_000);
        outbox.push_result("x".repeat(999));
        assert!(outbox.is_full());
        assert_eq!(outbox.push_reply("y".repeat(REPLY_BYTES)), Ok(()));
        assert_eq!(outbox.push_reply("y".into()), Err(Overflow));
        outbox.pop();
        outbox.pop();
        assert!(outbox.is_empty() && !outbox.is_full() && outbox.bytes == 0 && outbox.reply_bytes == 0);
        assert_eq!(outbox.push_reply("y".into()), Ok(()));
    }
}

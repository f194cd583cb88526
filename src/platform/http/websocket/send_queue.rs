//! The bounded queue of messages to one client.
//!
//! Two kinds of message share the queue, in order:
//! - *Results* come from operations. While the queue is full, the socket's task does not poll operations, so results
//!   wait at their source. Subscriptions re-read the log when they are polled again, so nothing is lost.
//! - *Replies* respond to the client's own messages (`pong`, `error`, `connection_ack`). The socket goes on reading
//!   while writing is blocked, so replies cannot be held back. A client that causes more than [`REPLY_BYTES`] of them
//!   without reading any is disconnected.

use std::collections::VecDeque;

use axum::extract::ws::Message;

/// Limit on queued replies, in bytes. An empty queue takes one reply of any size.
const REPLY_BYTES: usize = 64 * 1_024;
/// Bytes that a queued message takes besides its text.
const OVERHEAD: usize = 64;
/// Capacity that an empty queue keeps, in messages.
const KEPT_CAPACITY: usize = 2;

/// Too many unread replies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overflow;

struct Queued {
    message: Message,
    bytes: usize,
    reply: bool,
}

/// Messages in the order in which they will be sent, with their sizes.
pub(super) struct SendQueue {
    messages: VecDeque<Queued>,
    bytes: usize,
    reply_bytes: usize,
    limit: usize,
}

impl SendQueue {
    /// An empty queue. It is full from `limit` bytes on; the message that reaches the limit is still taken.
    pub(super) fn new(limit: usize) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, reply_bytes: 0, limit }
    }

    /// True when operations must not be polled.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Queues a message of an operation.
    pub(super) fn push_result(&mut self, text: String) {
        self.push(text.capacity(), Message::Text(text.into()), false);
    }

    /// Queues a reply to a message of the client.
    pub(super) fn push_reply(&mut self, text: String) -> Result<(), Overflow> {
        if self.reply_bytes >= REPLY_BYTES {
            return Err(Overflow);
        }
        self.push(text.capacity(), Message::Text(text.into()), true);
        Ok(())
    }

    /// Queues a ping or close frame.
    pub(super) fn push_frame(&mut self, frame: Message) {
        self.push(0, frame, false);
    }

    fn push(&mut self, text: usize, message: Message, reply: bool) {
        let bytes = text + OVERHEAD;
        self.bytes += bytes;
        self.reply_bytes += if reply { bytes } else { 0 };
        self.messages.push_back(Queued { message, bytes, reply });
    }

    /// Removes the oldest message.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let next = self.messages.pop_front()?;
        self.bytes -= next.bytes;
        self.reply_bytes -= if next.reply { next.bytes } else { 0 };
        if self.messages.is_empty() {
            self.messages.shrink_to(KEPT_CAPACITY);
        }
        Some(next.message)
    }

    /// Drops all messages.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_full_of_results_still_takes_replies_up_to_their_own_limit() {
        let mut queue = SendQueue::new(1_000);
        queue.push_result("x".repeat(999));
        assert!(queue.is_full());
        assert_eq!(queue.push_reply("y".repeat(REPLY_BYTES)), Ok(()));
        assert_eq!(queue.push_reply("y".into()), Err(Overflow));
        queue.pop();
        queue.pop();
        assert!(queue.is_empty() && !queue.is_full() && queue.bytes == 0 && queue.reply_bytes == 0);
        assert_eq!(queue.push_reply("y".into()), Ok(()));
    }
}

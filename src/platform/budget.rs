//! How many bytes the answers to one request may have, counted while they are made.
//!
//! The executor builds a whole answer before any of it is written, so a limit on what is written comes too late. A
//! budget is counted twice before: [`ByteBudget::load`] when rows have been read for the request, and
//! [`ByteBudget::answer`] when a field of the answer has been resolved. Each count has the whole limit, since one is
//! about memory that the rows take and the other about the answer. The first that passes the limit spends the budget for
//! good: whoever waits on [`ByteBudget::spent`] ends the execution, and rows that are still wanted are not read.
//!
//! All requests of an HTTP batch share one budget. Between two counts a budget may be passed by one statement's rows.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::error::{Code, Error};

/// The bytes that one request may still use.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    loaded: AtomicUsize,
    answered: AtomicUsize,
    spent: AtomicBool,
    is_now_spent: Notify,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            loaded: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            spent: AtomicBool::new(false),
            is_now_spent: Notify::new(),
        }
    }

    /// Counts bytes of rows that were read.
    pub fn load(&self, bytes: usize) {
        self.count(&self.loaded, bytes);
    }

    /// Counts bytes of the answer.
    pub fn answer(&self, bytes: usize) {
        self.count(&self.answered, bytes);
    }

    fn count(&self, counter: &AtomicUsize, bytes: usize) {
        // Only the sum matters, so no other memory has to be in step with it.
        if counter.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > self.limit {
            self.spent.store(true, Ordering::Release);
            self.is_now_spent.notify_waiters();
        }
    }

    /// True once more than the limit was counted.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    /// Waits until the budget is spent.
    pub async fn spent(&self) {
        let is_now_spent = self.is_now_spent.notified();
        tokio::pin!(is_now_spent);
        // Registers before it looks: whoever spends the budget after that wakes this.
        is_now_spent.as_mut().enable();
        if !self.is_spent() {
            is_now_spent.await;
        }
    }

    /// The error of a request whose budget is spent.
    pub fn error(&self) -> Error {
        too_large(self.limit)
    }
}

/// The error of an answer that has more than `limit` bytes.
pub fn too_large(limit: usize) -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!("the answer is larger than {limit} bytes; ask for fewer fields, or for smaller pages"),
    )
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn rows_and_the_answer_have_the_whole_limit_each_and_what_is_spent_stays_spent() {
        let budget = ByteBudget::new(100);
        budget.load(100);
        budget.answer(60);
        assert!(!budget.is_spent() && budget.spent().now_or_never().is_none());
        budget.answer(41);
        assert!(budget.is_spent());
        budget.spent().await;
        assert_eq!(budget.error().code(), Code::PayloadTooLarge);
    }
}

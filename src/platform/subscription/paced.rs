//! Paced streams: of changes that follow each other closely a client receives one that stands for all of them.
//!
//! ```text
//! quiet, then a change          ──► sent at once
//! changes within the pace after ──► held and merged, sent when the pace has passed
//! a change that must not wait   ──► sent at once, merged with what is held
//! READY, resync, an error       ──► what is held, then it
//! ```
//!
//! Guarantees:
//! - After the last change a client has received all that it says, at most one pace later.
//! - What a feed says [must not wait](Pace::may_wait) is never merged into a later change.
//! - Streams of one subject that are read without delay hold and send together, so that they share the renderings of
//!   merged changes: a [`Change`] says from which version on it stands for several.
//!
//! This differs from [`Newest`](super::Newest), which conflates only what a slow client has left waiting: there a crowd
//! that joins together costs each client a message for each member of the crowd.
//!
//! A cursor of a merged change resumes after the last of its changes.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::{
    pin,
    time::{Instant, sleep_until},
};

use super::{Change, ChangeOperation};
use crate::platform::error::Result;

/// How a feed of one subject is paced.
pub trait Pace<R>: Send + Sync {
    /// Shortest time between two changes that may wait.
    fn every(&self) -> Duration;

    /// True if `next` may be merged into a later change, for a client that was last sent `sent`.
    fn may_wait(&self, sent: &R, next: &R) -> bool;

    /// `newer` with what it does not say of `older`.
    fn merged(&self, older: &R, newer: R) -> R;
}

/// `newer` in place of both.
fn merged<R>(pace: &dyn Pace<R>, older: Change<R>, newer: Change<R>) -> Change<R> {
    let since = older.since.or_else(|| older.event.as_ref().map(|event| event.version));
    let record = match (&older.record, newer.record) {
        (Some(older), Some(newer)) => Some(pace.merged(older, newer)),
        (_, newer) => newer,
    };
    Change { record, since, ..newer }
}

/// What a paced stream goes on with.
enum Step<R> {
    /// The pace has passed.
    Due,
    /// A message; `None` at the end.
    Next(Option<Result<Change<R>>>),
}

/// Sends `changes` no faster than `pace` allows; what it holds back it merges.
pub fn paced<R: Clone + Send + Sync + 'static>(
    pace: &'static dyn Pace<R>,
    changes: impl Stream<Item = Result<Change<R>>> + Send,
) -> impl Stream<Item = Result<Change<R>>> + Send {
    async_stream::stream! {
        pin!(changes);
        let mut sent: Option<R> = None;
        let mut held: Option<Change<R>> = None;
        let mut not_before = Instant::now();
        loop {
            let step = if held.is_some() {
                // Time goes first: a stream that never pauses must not hold a change for ever.
                tokio::select! {
                    biased;
                    () = sleep_until(not_before) => Step::Due,
                    next = changes.next() => Step::Next(next),
                }
            } else {
                Step::Next(changes.next().await)
            };
            let next = match step {
                Step::Next(Some(Ok(next))) => next,
                Step::Due => {
                    if let Some(change) = held.take() {
                        sent.clone_from(&change.record);
                        not_before = Instant::now() + pace.every();
                        yield Ok(change);
                    }
                    continue;
                }
                Step::Next(last) => {
                    if let Some(change) = held.take() {
                        yield Ok(change);
                    }
                    if let Some(error) = last {
                        yield error;
                    }
                    return;
                }
            };
            let is_change = matches!(next.operation, ChangeOperation::Update | ChangeOperation::Delete) && !next.resync;
            let may_wait = next.operation == ChangeOperation::Update
                && matches!((&sent, &next.record), (Some(sent), Some(next)) if pace.may_wait(sent, next));
            let next = match held.take() {
                Some(older) if is_change => merged(pace, older, next),
                Some(older) => {
                    yield Ok(older);
                    next
                }
                None => next,
            };
            if is_change && may_wait && Instant::now() < not_before {
                held = Some(next);
                continue;
            }
            if next.record.is_some() {
                sent.clone_from(&next.record);
                not_before = Instant::now() + pace.every();
            }
            yield Ok(next);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::stream;

    use super::*;
    use crate::platform::event::Cursor;

    /// Numbers; the tens digit is what must not wait, and what a change says is the numbers that it stands for.
    struct Tens;

    impl Pace<Vec<u32>> for Tens {
        fn every(&self) -> Duration {
            Duration::from_millis(250)
        }

        fn may_wait(&self, sent: &Vec<u32>, next: &Vec<u32>) -> bool {
            sent.last().unwrap() / 10 == next.last().unwrap() / 10
        }

        fn merged(&self, older: &Vec<u32>, newer: Vec<u32>) -> Vec<u32> {
            [older.clone(), newer].concat()
        }
    }

    fn change(operation: ChangeOperation, number: u32) -> Change<Vec<u32>> {
        let record = (operation != ChangeOperation::Ready).then(|| vec![number]);
        Change { operation, record, cursor: Cursor::Restart, resync: false, event: None, since: None }
    }

    /// What a client is sent, and when: of changes that come at these milliseconds.
    async fn sent(changes: Vec<(u64, ChangeOperation, u32)>) -> Vec<(u64, Vec<u32>)> {
        let start = Instant::now();
        let changes = stream::iter(changes).then(move |(at, operation, number)| async move {
            sleep_until(start + Duration::from_millis(at)).await;
            Ok(change(operation, number))
        });
        let sent = paced(&Tens, changes).map(move |change| {
            let at = u64::try_from(start.elapsed().as_millis()).unwrap();
            (at, change.unwrap().record.unwrap_or_default())
        });
        sent.collect().await
    }

    const UPDATE: ChangeOperation = ChangeOperation::Update;

    #[tokio::test(start_paused = true)]
    async fn a_change_after_a_pause_is_sent_at_once_and_a_burst_as_one() {
        let burst = vec![
            (0, ChangeOperation::Snapshot, 1),
            (0, ChangeOperation::Ready, 0),
            (1_000, UPDATE, 2),
            (1_001, UPDATE, 3),
            (1_100, UPDATE, 4),
            (1_251, UPDATE, 5),
            (2_000, UPDATE, 6),
        ];
        let expected =
            [(0, vec![1]), (0, vec![]), (1_000, vec![2]), (1_250, vec![3, 4]), (1_500, vec![5]), (2_000, vec![6])];
        assert_eq!(sent(burst).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_wait_is_sent_at_once_with_what_is_held() {
        let turn = vec![
            (0, ChangeOperation::Snapshot, 1),
            (10, UPDATE, 2),
            (20, UPDATE, 11),
            (30, UPDATE, 12),
            (40, ChangeOperation::Delete, 12),
        ];
        assert_eq!(sent(turn).await, [(0, vec![1]), (20, vec![2, 11]), (40, vec![12, 12])]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_comes_before_ready_and_before_the_end() {
        // A resume: its changes, then READY.
        let resumed =
            vec![(0, UPDATE, 1), (0, UPDATE, 2), (0, UPDATE, 3), (0, ChangeOperation::Ready, 0), (1, UPDATE, 4)];
        assert_eq!(sent(resumed).await, [(0, vec![1]), (0, vec![2, 3]), (0, vec![]), (1, vec![4])]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_four_and_nothing_is_lost() {
        let crowd: Vec<_> = (0..1_000).map(|n| (n * 3, UPDATE, 1)).collect();
        let mut all = vec![(0, ChangeOperation::Snapshot, 1)];
        all.extend(crowd);
        let sent = sent(all).await;
        assert_eq!(sent.iter().map(|(_, numbers)| numbers.len()).sum::<usize>(), 1_001);
        for (at, _) in &sent {
            let second = sent.iter().filter(|(other, _)| (*at..at + 1_000).contains(other)).count();
            assert!(second <= 5, "{second} in the second from {at} ms on");
        }
    }
}

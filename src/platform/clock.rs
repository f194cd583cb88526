//! The server's clock, which tests can move, and new ids.
//!
//! There are two clocks, and no value of one is compared with a value of the other. Deadlines that several servers must
//! agree on (timers, leases, `missAt`) use the database's `switchboard.now()`. Decisions of one server, such as whether
//! a token has expired, use its [`Clock`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;
use uuid::{Builder, Uuid};

/// Longest sleep before the time is read again: the runtime's timers stop while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::seconds(30);

/// This server's clock: the system's time plus an offset that tests set. Clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl Clock {
    /// The current time, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::milliseconds(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock, for tests, and wakes every [`Clock::sleep_until`].
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.whole_milliseconds()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Returns at `at`, or when the clock is moved there; never earlier.
    pub async fn sleep_until(&self, at: OffsetDateTime) {
        loop {
            // Registered before the time is read, so that a move in between is not missed.
            let moved = self.moved.notified();
            let left = at - self.now();
            if !left.is_positive() {
                return;
            }
            // At least a millisecond, the timer's resolution.
            let nap = left.clamp(Duration::MILLISECOND, LONGEST_SLEEP).unsigned_abs();
            let _ = tokio::time::timeout(nap, moved).await;
        }
    }
}

/// A new id, UUID version 7: ordered by time to the millisecond, so that an index grows at one end, and 74 fresh random
/// bits, so that knowing other ids of the same millisecond does not help to guess it. (`Uuid::now_v7` counts within a
/// millisecond: two ids that one transaction makes differ by little.)
pub fn new_id() -> Uuid {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// A new id of 122 random bits, UUID version 4: for what must not show when it was made.
pub fn new_random_id() -> Uuid {
    Builder::from_random_bytes(rand::random()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn ids_of_one_millisecond_have_nothing_in_common_but_the_time() {
        let mut by_time: HashMap<u64, Vec<u128>> = HashMap::new();
        for _ in 0..50_000 {
            let id = new_id();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            by_time.entry(id.as_u64_pair().0 >> 16).or_default().push(id.as_u128());
        }
        let (time, ids) = by_time.iter().max_by_key(|(_, ids)| ids.len()).expect("some ids");
        assert!(ids.len() > 100, "{} ids in millisecond {time}", ids.len());
        // The 12 random bits before the variant, and each half of the 62 behind it, are fresh in each id.
        let parts =
            |shift: u32, bits: u32| -> Vec<u128> { ids.iter().map(|id| (id >> shift) & ((1 << bits) - 1)).collect() };
        for (shift, bits) in [(64, 12), (31, 31), (0, 31)] {
            let parts = parts(shift, bits);
            let distinct = parts.iter().collect::<HashSet<_>>().len();
            // Of 12 bits there are only 4,096 values.
            let expected = if bits == 12 { ids.len().min(2_000) / 2 } else { ids.len() - 2 };
            assert!(distinct >= expected, "bits {shift}+{bits}: {distinct} distinct of {}", ids.len());
            let rising = parts.windows(2).filter(|pair| pair[0] < pair[1]).count();
            let share = rising * 100 / (parts.len() - 1);
            assert!((30..=70).contains(&share), "bits {shift}+{bits} rise in {share} of 100 steps: they count");
        }
        // Of 74 fair bits nearly all take both values, each about as often.
        for bit in (0..62).chain(64..76) {
            let share = ids.iter().filter(|id| (*id >> bit) & 1 == 1).count() * 100 / ids.len();
            assert!((15..=85).contains(&share), "bit {bit} is set in {share} of 100");
        }
    }

    #[test]
    fn ids_are_in_the_order_of_their_milliseconds() {
        let first = new_id();
        let first_ms = first.as_u64_pair().0 >> 16;
        let later = loop {
            let id = new_id();
            if id.as_u64_pair().0 >> 16 != first_ms {
                break id;
            }
        };
        assert!(first < later);
        assert_eq!(new_random_id().get_version_num(), 4);
    }
}

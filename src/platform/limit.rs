//! Rate limits: how often one client may do what costs much.
//!
//! A limit is a leaky bucket for each key (a caller, an address): so many events at once, then so many in a second. A
//! refused event names the time after which a repeat passes.
//!
//! Buckets live in this process. Two servers let twice as much pass, which a bound on cost can bear; what must be exact is
//! decided in Postgres. The table of buckets is bounded: of more than [`KEYS`] keys the least used are evicted, and begin
//! anew with a full bucket.
//!
//! Counted: `switchboard_rate_limited_total{limit}`.

use std::{
    convert::Infallible,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use quick_cache::sync::Cache;

use crate::platform::{
    auth::{ClientAddress, Principal, Role},
    error::{Error, Result},
};

/// Most buckets of one limit. A bucket takes some 200 bytes.
pub const KEYS: usize = 50_000;

/// So many events at once, then so many in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 0: no limit.
    pub at_once: u32,
    /// At least 1.
    pub per_second: u32,
}

impl Rate {
    /// `None` where there is no limit.
    fn quota(self) -> Option<Quota> {
        Some(Quota::per_second(NonZeroU32::new(self.per_second)?).allow_burst(NonZeroU32::new(self.at_once)?))
    }
}

/// The bucket of one key.
pub struct Bucket {
    limiter: DefaultDirectRateLimiter,
}

impl Bucket {
    /// A full bucket; `None` where there is no limit.
    pub fn new(rate: Rate) -> Option<Self> {
        rate.quota().map(Self::of)
    }

    fn of(quota: Quota) -> Self {
        Self { limiter: RateLimiter::direct(quota) }
    }

    /// Counts `events`. The error is the time after which they would pass.
    pub fn take(&self, events: NonZeroU32) -> Result<(), Duration> {
        match self.limiter.check_n(events) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(refused.wait_time_from(DefaultClock::default().now())),
            // More events in one request than ever pass at once.
            Err(_) => Err(Duration::from_mins(1)),
        }
    }
}

/// Buckets by key.
struct Buckets<K, B> {
    quota: Option<Quota>,
    buckets: Cache<K, Arc<B>>,
}

impl<K: Eq + Hash + Clone, B> Buckets<K, B> {
    fn new(rate: Rate) -> Self {
        Self { quota: rate.quota(), buckets: Cache::new(KEYS) }
    }

    /// The bucket of `key`; `None` where there is no limit.
    fn get(&self, key: &K, new: impl FnOnce(Quota) -> B) -> Option<Arc<B>> {
        let quota = self.quota?;
        let Ok(bucket) = self.buckets.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(new(quota))));
        Some(bucket)
    }
}

/// A limit with a bucket for each key.
pub struct RateLimit<K> {
    name: &'static str,
    buckets: Buckets<K, Bucket>,
}

impl<K: Eq + Hash + Clone> RateLimit<K> {
    /// `name` is the metric's label.
    pub fn new(name: &'static str, rate: Rate) -> Self {
        Self { name, buckets: Buckets::new(rate) }
    }

    /// Counts `events` of `key`.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time after which they would pass.
    pub fn take(&self, key: &K, events: u32) -> Result<()> {
        let Some(events) = NonZeroU32::new(events) else { return Ok(()) };
        let Some(bucket) = self.buckets.get(key, Bucket::of) else { return Ok(()) };
        bucket.take(events).map_err(|wait| refused(self.name, &format!("too many {}", self.name), wait))
    }
}

/// The error of a refused event, which is counted here.
pub fn refused(limit: &'static str, message: &str, wait: Duration) -> Error {
    metrics::counter!("switchboard_rate_limited_total", "limit" => limit).increment(1);
    Error::rate_limited(message, wait)
}

/// An address as limits count it: IPv6 by its /64 network, which is what one subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(IpAddr);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl From<ClientAddress> for AddressKey {
    fn from(ClientAddress(address): ClientAddress) -> Self {
        address.into()
    }
}

/// A caller as limits count it: however many tokens it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PrincipalKey(uuid::Uuid, Role, Box<str>);

impl From<&Principal> for PrincipalKey {
    fn from(principal: &Principal) -> Self {
        Self(principal.company_id, principal.role, principal.subject.as_str().into())
    }
}

/// A limit on guesses of ids that prove something. A right id costs nothing, so that callers who know one are never held
/// up, whatever they do at once; a wrong one counts.
///
/// A guess counts when it begins, so that guesses made at once are limited as well. A right one then gives its share
/// back, as credit for the next.
pub struct GuessLimit {
    name: &'static str,
    buckets: Buckets<AddressKey, GuessBucket>,
}

impl std::fmt::Debug for GuessLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuessLimit").field("name", &self.name).finish_non_exhaustive()
    }
}

struct GuessBucket {
    bucket: Bucket,
    /// Guesses that turned out right and were not spent again.
    credit: AtomicU32,
}

/// A guess that counts unless it is called [`right`](Guess::right).
#[must_use]
pub struct Guess(Option<Arc<GuessBucket>>);

impl GuessLimit {
    /// `name` is the metric's label.
    pub fn new(name: &'static str, rate: Rate) -> Self {
        Self { name, buckets: Buckets::new(rate) }
    }

    /// Begins a guess from `address`. Without an address there is no limit.
    ///
    /// # Errors
    /// `RATE_LIMITED` after too many wrong ones.
    pub fn begin(&self, address: Option<IpAddr>) -> Result<Guess> {
        let new = |quota| GuessBucket { bucket: Bucket::of(quota), credit: AtomicU32::new(0) };
        let bucket = address.and_then(|address| self.buckets.get(&address.into(), new));
        if let Some(bucket) = &bucket {
            let spent =
                bucket.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(1));
            if spent.is_err() {
                let counted = bucket.bucket.take(NonZeroU32::MIN);
                counted.map_err(|wait| refused(self.name, "too many unknown ids from this address", wait))?;
            }
        }
        Ok(Guess(bucket))
    }
}

impl Guess {
    /// The id was right, or could not be looked up.
    pub fn right(self) {
        if let Some(bucket) = self.0 {
            let _ = bucket.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_add(1));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::platform::error::Code;

    const SLOW: Rate = Rate { at_once: 3, per_second: 1 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own_and_a_refusal_names_the_wait() {
        let limit = RateLimit::new("tests", SLOW);
        limit.take(&"a", 2).unwrap();
        limit.take(&"b", 3).unwrap();
        let refused = limit.take(&"a", 2).unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.retry_after_ms().is_some_and(|ms| (1..=1_000).contains(&ms)), "{refused:?}");
        limit.take(&"a", 1).unwrap();
        limit.take(&"a", 0).unwrap();
        assert!(limit.take(&"c", 4).is_err(), "never possible");
        let off = RateLimit::new("tests", Rate { at_once: 0, per_second: 1 });
        for _ in 0..1_000 {
            off.take(&"a", 1_000).unwrap();
        }
    }

    #[test]
    fn the_table_of_keys_is_bounded() {
        let limit = RateLimit::new("tests", SLOW);
        for number in 0..KEYS + 10_000 {
            limit.take(&number, 1).unwrap();
        }
        assert!(limit.buckets.buckets.len() <= KEYS, "{}", limit.buckets.buckets.len());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let key = |text: &str| AddressKey::from(address(text));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn right_ids_cost_nothing_and_wrong_ones_are_limited_also_between_right_ones() {
        let limit = GuessLimit::new("tests", SLOW);
        let from = Some(address("192.0.2.1"));
        for _ in 0..100 {
            limit.begin(from).unwrap().right();
        }
        // One that is known among the wrong ones does not make room for more of them.
        let mut wrong = 0;
        while let Ok(guess) = limit.begin(from) {
            drop(guess);
            wrong += 1;
            if let Ok(guess) = limit.begin(from) {
                guess.right();
            }
        }
        assert!((3..=4).contains(&wrong), "{wrong}");
        let others = limit.begin(Some(address("192.0.2.2")));
        assert!(others.is_ok(), "another address");
    }

    #[test]
    fn wrong_ids_at_once_are_limited_too() {
        let limit = GuessLimit::new("tests", SLOW);
        let from = Some(address("192.0.2.1"));
        let begun: Vec<_> = (0..50).map_while(|_| limit.begin(from).ok()).collect();
        assert_eq!(begun.len(), 3);
        begun.into_iter().for_each(Guess::right);
        assert!(limit.begin(from).is_ok());
    }
}

//! Derived streams: values that are computed from the present state, such as a list that is always sent whole or the head
//! of a queue. Computed again when something happened, at most four times a second, and once for all who watch the same.
//!
//! ```text
//! event ─► Watch ─► whoever of the watchers asks first waits for its turn and computes ─► the value ─┬─► watcher
//!                                                                                                    └─► watcher
//! ```
//! Guarantees:
//! - After the last event each watcher gets a value that was computed after that event. Values in between may be left out:
//!   each one is whole.
//! - A watcher gets no value that is older than one that it had before.
//! - Watchers with equal keys share one value, so a key names everything that the value depends on. Rights do not belong
//!   to it: whoever shows the value checks them for each watcher.
//! - A value that time alone changes says when ([`Derive::changes_in`]), and is computed again then.
//!
//! Nothing runs for a key that nobody asks about. A watcher that its client does not read computes nothing and holds
//! nothing: a value is forgotten a quarter of a second after it was computed, and when those that show it let it go.
//!
//! Failures: while the database is away a new watcher gets UNAVAILABLE, and one that had a value waits and is given the
//! next one afterwards.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::{Stream, future::BoxFuture};
use sqlx::PgConnection;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Sources, with_retry};
use crate::platform::{
    error::Result,
    event::{Interest, hub::Watch},
};

/// Most computations of one key in any second.
const MOST_A_SECOND: usize = 4;
/// How long a value is kept for watchers that ask for it a little later than the one that computed it.
const KEPT: Duration = Duration::from_millis(250);

/// How one value is computed.
pub trait Derive: Send + Sync + 'static {
    /// What is computed: all of it, so that a newer value replaces an older one.
    type Value: Send + Sync + 'static;

    /// The events after which the value may be another one.
    fn interests(&self) -> Vec<Interest>;

    /// Reads the value.
    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Self::Value>>;

    /// After what time the value may be another one although nothing happened.
    fn changes_in(&self, _value: &Self::Value) -> Option<Duration> {
        None
    }

    /// True if the value has what this watcher asks for. One that was computed before the watcher came may lack it; one
    /// that is computed from now on has it.
    fn covers(&self, _value: &Self::Value) -> bool {
        true
    }
}

/// The values that are being watched, by key. Cheap to clone.
pub struct Derived<K: Eq + Hash, V>(Arc<Mutex<Cells<K, V>>>);

type Cells<K, V> = HashMap<K, Weak<Cell<K, V>>>;

impl<K: Eq + Hash, V> Clone for Derived<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash, V> Default for Derived<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, V> fmt::Debug for Derived<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived").field("watched", &cells(&self.0).len()).finish()
    }
}

fn cells<K: Eq + Hash, V>(cells: &Mutex<Cells<K, V>>) -> MutexGuard<'_, Cells<K, V>> {
    // Nothing panics while it holds the lock.
    cells.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One key's value.
struct Cell<K: Eq + Hash, V> {
    key: K,
    cells: Weak<Mutex<Cells<K, V>>>,
    watch: Watch,
    latest: AsyncMutex<Latest<V>>,
}

/// A value, what the watch had counted when its computation began, and until when it holds if nothing happens.
type Computed<V> = (Arc<V>, u64, Option<Instant>);

/// The value that was computed last.
struct Latest<V> {
    /// What the watch had counted when the computation began.
    count: u64,
    value: Option<Arc<V>>,
    /// Until when it holds if nothing happens.
    until: Option<Instant>,
    /// When the last computations ended, oldest first.
    computed: VecDeque<Instant>,
}

impl<V> Latest<V> {
    /// When the next computation may begin.
    fn not_before(&self) -> Option<Instant> {
        let oldest = self.computed.front().filter(|_| self.computed.len() >= MOST_A_SECOND)?;
        Some(*oldest + Duration::from_secs(1))
    }

    fn keep(&mut self, value: &Arc<V>, count: u64, until: Option<Instant>) {
        self.count = count;
        self.until = until;
        self.value = Some(Arc::clone(value));
        if self.computed.len() >= MOST_A_SECOND {
            self.computed.pop_front();
        }
        self.computed.push_back(Instant::now());
    }
}

impl<K: Eq + Hash, V> Drop for Cell<K, V> {
    fn drop(&mut self) {
        let Some(all) = self.cells.upgrade() else { return };
        let mut all = cells(&all);
        // Unless another one took its place meanwhile.
        if all.get(&self.key).is_some_and(|cell| cell.strong_count() == 0) {
            all.remove(&self.key);
        }
    }
}

impl<K, V> Derived<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// The value of `key` as it is now, then again when something happened to it. An error ends the stream. `derive`
    /// computes it; with an equal key it must compute the same.
    pub fn watch<D: Derive<Value = V>>(
        &self,
        sources: &Sources,
        key: K,
        derive: D,
    ) -> impl Stream<Item = Result<Arc<V>>> + Send + use<D, K, V> {
        let cell = self.cell(sources, key, &derive);
        let mut counted = cell.watch.count();
        let sources = sources.clone();
        async_stream::try_stream! {
            let mut seen = *counted.borrow_and_update();
            let (value, count, mut until) = Box::pin(cell.value(&sources, &derive, seen)).await?;
            seen = count;
            yield value;
            loop {
                tokio::select! {
                    () = Self::newer_than(&mut counted, seen) => {}
                    () = Self::passed(until) => {}
                }
                let wanted = *counted.borrow();
                let (value, count, holds_until) = Box::pin(with_retry(|| cell.value(&sources, &derive, wanted))).await?;
                (seen, until) = (count, holds_until);
                yield value;
            }
        }
    }

    fn cell<D: Derive<Value = V>>(&self, sources: &Sources, key: K, derive: &D) -> Arc<Cell<K, V>> {
        let mut all = cells(&self.0);
        if let Some(cell) = all.get(&key).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Arc::new(Cell {
            key: key.clone(),
            cells: Arc::downgrade(&self.0),
            watch: sources.hub.watch(derive.interests()),
            latest: AsyncMutex::new(Latest { count: 0, value: None, until: None, computed: VecDeque::new() }),
        });
        all.insert(key, Arc::downgrade(&cell));
        cell
    }

    /// Waits until this time; without one for ever.
    async fn passed(until: Option<Instant>) {
        match until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until something happened after `seen`.
    async fn newer_than(counted: &mut watch::Receiver<u64>, seen: u64) {
        if counted.wait_for(|count| *count > seen).await.is_err() {
            // The sender is in the hub as long as the cell, which this watcher holds.
            std::future::pending::<()>().await;
        }
    }
}

impl<K, V> Cell<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A value that was computed after the watch had counted `wanted`, and what it had counted then. Those that want one at
    /// the same time wait here for the first of them.
    async fn value<D: Derive<Value = V>>(
        self: &Arc<Self>,
        sources: &Sources,
        derive: &D,
        wanted: u64,
    ) -> Result<Computed<V>> {
        let mut latest = self.latest.lock().await;
        let holds = latest.count >= wanted && latest.until.is_none_or(|until| until > Instant::now());
        if let Some(value) = latest.value.as_ref().filter(|value| holds && derive.covers(value)) {
            return Ok((Arc::clone(value), latest.count, latest.until));
        }
        if let Some(at) = latest.not_before() {
            sleep_until(at).await;
        }
        // Before the state is read: what happens meanwhile is counted again.
        let count = *self.watch.count().borrow();
        let mut reading = sources.gate.enter(&sources.pool).await?;
        let outcome = timeout(reading.deadline, derive.compute(&mut reading.connection)).await;
        let value = Arc::new(reading.finish(outcome)?);
        let until = derive.changes_in(&value).map(|time| Instant::now() + time);
        latest.keep(&value, count, until);
        drop(latest);
        // Its handle is dropped: it ends by itself.
        tokio::spawn(Self::forget(Arc::downgrade(self), Arc::downgrade(&value)));
        Ok((value, count, until))
    }

    /// Lets go of `value` after a while, if it is still the latest.
    async fn forget(cell: Weak<Self>, value: Weak<V>) {
        sleep(KEPT).await;
        let Some(cell) = cell.upgrade() else { return };
        let mut latest = cell.latest.lock().await;
        if latest.value.as_ref().is_some_and(|latest| Weak::as_ptr(&value) == Arc::as_ptr(latest)) {
            latest.value = None;
        }
    }
}

//! Rows by their key, for many readers at once. Nothing is kept from one statement to the next: a read begins after it
//! was asked for, and sees everything that was committed before.
//!
//! Reads are grouped: those of one group that are waiting share a statement, and equal keys share a row. The group holds
//! everything but the key that the statement depends on: the company, and for a list its arguments. So the aliases of a
//! document that ask for the same list cost one statement, and a list below a hundred parents costs one for each
//! different set of arguments.
//!
//! - *Records* ([`Reads::records`], [`Reads::get`]) are small and asked for by everybody. All readers of a company share
//!   one statement at a time, so that no reader takes more than one connection, however much it reads.
//! - *Lists* ([`Reads::lists`], [`Reads::get_for`]) may be large. Each reader has statements of its own, on at most its
//!   share of the connections ([`ReaderGate`]). Their rows count to the budget of the answer they are read for; a list that
//!   nobody waits for any more (its request was refused, or its client left) is not read.
//! - *Single reads* ([`Reads::each`], also by [`Reads::get_for`]) are statements that find only one key's row, such as a
//!   call of a function. They take the reader's share as lists do, and those of one group run one after the other. So a
//!   request that repeats one under a hundred aliases takes one connection.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;

use super::{
    connection::WorkerConnection,
    gate::ReaderGate,
    gather::{Bounds, Gatherer, Job, Order},
    reading::{Reader, Reading},
};
use crate::platform::{
    budget::ByteBudget,
    db::pool::deadline,
    error::{Error, Result},
};

/// Statements of one group at once. Reads flush nothing, so that fewer and larger statements cost the least. What waits is
/// bounded by the requests that are under way, each of which is bounded itself.
const BOUNDS: Bounds = Bounds { workers: 1, spare: 1, waiting: usize::MAX };

/// Finds the rows of some keys of one group, all different; a key without a row is left out.
type Find<G, K, V> =
    dyn for<'a> Fn(&'a mut PgConnection, G, &'a [K]) -> BoxFuture<'a, Result<HashMap<K, V>>> + Send + Sync;

/// Gathers reads of one kind. Cheap to clone.
pub(crate) struct Reads<G, K, V> {
    kind: &'static str,
    gatherer: Gatherer<Partition<G>, Item<K>, Result<Option<V>>>,
}

/// Reads that may share a statement.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Partition<G> {
    /// Whose list it is; `None` for records, which all readers share.
    reader: Option<Reader>,
    group: G,
}

/// One read that waits.
struct Item<K> {
    key: K,
    budget: Option<Arc<ByteBudget>>,
}

type ReadJob<K, V> = Job<Item<K>, Result<Option<V>>>;

/// True while somebody waits for the row, and its answer has room for it.
fn is_wanted<K, V>(job: &ReadJob<K, V>) -> bool {
    !job.is_abandoned() && !job.item.budget.as_ref().is_some_and(|budget| budget.is_spent())
}

/// How the lists of one kind are read.
struct Limits<G, V> {
    gate: ReaderGate,
    /// The number of keys of a group whose lists one statement may read.
    keys: fn(&G) -> usize,
    /// The bytes that a list takes in memory, about.
    bytes: fn(&V) -> usize,
}

impl<G, K, V> Clone for Reads<G, K, V> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, gatherer: self.gatherer.clone() }
    }
}

impl<G, K, V> fmt::Debug for Reads<G, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<G, K, V> Reads<G, K, V>
where
    G: Clone + Eq + Hash + Send + Sync + 'static,
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Reads of small records; `kind` is a label of metrics. Where `find` fails, all reads of its statement fail with it:
    /// nobody asks again while the database is away.
    pub(crate) fn records(
        kind: &'static str,
        pool: PgPool,
        find: impl for<'a> Fn(&'a mut PgConnection, G, &'a [K]) -> BoxFuture<'a, Result<HashMap<K, V>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::new(kind, pool, None, Arc::new(find))
    }

    /// Reads of lists: one statement reads the lists of at most `keys` of a group's keys, and a list takes about `bytes`.
    pub(crate) fn lists(
        kind: &'static str,
        pool: PgPool,
        gate: ReaderGate,
        keys: fn(&G) -> usize,
        bytes: fn(&V) -> usize,
        find: impl for<'a> Fn(&'a mut PgConnection, G, &'a [K]) -> BoxFuture<'a, Result<HashMap<K, V>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::new(kind, pool, Some(Limits { gate, keys, bytes }), Arc::new(find))
    }

    /// Single reads: a statement finds the row of one key, which takes about `bytes`.
    pub(crate) fn each(
        kind: &'static str,
        pool: PgPool,
        gate: ReaderGate,
        bytes: fn(&V) -> usize,
        find: impl for<'a> Fn(&'a mut PgConnection, G, &'a K) -> BoxFuture<'a, Result<Option<V>>> + Send + Sync + 'static,
    ) -> Self {
        Self::lists(
            kind,
            pool,
            gate,
            |_| 1,
            bytes,
            move |connection, group, keys| match keys.first() {
                Some(key) => {
                    let found = find(connection, group, key);
                    async move { Ok(found.await?.map(|row| (key.clone(), row)).into_iter().collect()) }.boxed()
                }
                None => async { Ok(HashMap::new()) }.boxed(),
            },
        )
    }

    fn new(kind: &'static str, pool: PgPool, limits: Option<Limits<G, V>>, find: Arc<Find<G, K, V>>) -> Self {
        let limits = limits.map(Arc::new);
        let gatherer = Gatherer::new(kind, BOUNDS, move |connection, partition, jobs: Vec<ReadJob<K, V>>| {
            let (pool, find, limits) = (pool.clone(), Arc::clone(&find), limits.clone());
            async move {
                let Partition { reader, group }: Partition<G> = partition;
                let found = match (reader, limits) {
                    (Some(reader), Some(limits)) => {
                        let place = limits.gate.enter(reader).await;
                        let found = read_lists(connection, &pool, &*find, &limits, &group, &jobs).await;
                        // Whoever has no place holds no connection.
                        connection.release();
                        drop(place);
                        found
                    }
                    _ => read(connection, &pool, &*find, group, jobs.iter().map(|job| &job.item.key)).await,
                };
                for job in jobs {
                    let row = found.as_ref().map(|found| found.get(&job.item.key).cloned());
                    let row = row.map_err(Clone::clone);
                    job.finish(row);
                }
            }
            .boxed()
        });
        Self { kind, gatherer }
    }

    /// The record of `key`, if there is one.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn get(&self, group: G, key: K) -> Result<Option<V>> {
        self.submit(Partition { reader: None, group }, Item { key, budget: None }).await
    }

    /// The list of `key`, read for `reading`; `None` if there is nothing that has a list.
    ///
    /// # Errors
    /// Those of the statement; `PAYLOAD_TOO_LARGE` when the budget of the answer is spent.
    pub(crate) async fn get_for(&self, reading: &Reading, group: G, key: K) -> Result<Option<V>> {
        let partition = Partition { reader: Some(reading.reader.clone()), group };
        let found = self.submit(partition, Item { key, budget: reading.budget.clone() }).await;
        match &reading.budget {
            Some(budget) if budget.is_spent() => Err(budget.error()),
            _ => found,
        }
    }

    async fn submit(&self, partition: Partition<G>, item: Item<K>) -> Result<Option<V>> {
        let found = self.gatherer.submit(partition, Order::default(), item).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| Err(Error::internal(format!("the statement that reads {} panicked", self.kind))))
    }
}

/// Reads the rows of `keys` in one statement.
async fn read<'a, G, K: Clone + Eq + Hash + 'a, V>(
    connection: &mut WorkerConnection,
    pool: &PgPool,
    find: &Find<G, K, V>,
    group: G,
    keys: impl Iterator<Item = &'a K>,
) -> Result<HashMap<K, V>> {
    let keys: Vec<K> = keys.collect::<HashSet<_>>().into_iter().cloned().collect();
    let held = connection.get(pool).await?;
    match timeout(deadline(pool), find(held, group, &keys)).await {
        Ok(found) => found.inspect_err(|_| connection.release()),
        Err(late) => {
            connection.close();
            Err(Error::unavailable(late))
        }
    }
}

/// Reads the lists that are wanted, some keys at a time, and counts each to the answers that it is for.
async fn read_lists<G: Clone, K: Clone + Eq + Hash, V>(
    connection: &mut WorkerConnection,
    pool: &PgPool,
    find: &Find<G, K, V>,
    limits: &Limits<G, V>,
    group: &G,
    jobs: &[ReadJob<K, V>],
) -> Result<HashMap<K, V>> {
    let mut readers: HashMap<&K, Vec<&ReadJob<K, V>>> = HashMap::new();
    for job in jobs {
        readers.entry(&job.item.key).or_default().push(job);
    }
    let mut waiting: Vec<&K> = readers.keys().copied().collect();
    let most = (limits.keys)(group).max(1);
    let mut found = HashMap::new();
    while !waiting.is_empty() {
        waiting.retain(|key| readers[key].iter().any(|job| is_wanted(job)));
        let rest = waiting.split_off(most.min(waiting.len()));
        if waiting.is_empty() {
            break;
        }
        for (key, list) in read(connection, pool, find, group.clone(), waiting.iter().copied()).await? {
            let bytes = (limits.bytes)(&list);
            // The aliases of one request share the rows.
            let mut budgets: Vec<_> =
                readers.get(&key).into_iter().flatten().filter_map(|job| job.item.budget.as_ref()).collect();
            budgets.sort_unstable_by_key(|budget| Arc::as_ptr(budget));
            budgets.dedup_by_key(|budget| Arc::as_ptr(budget));
            for budget in budgets {
                budget.load(bytes);
            }
            found.insert(key, list);
        }
        // What was read for answers that have become too large is of no use.
        found.retain(|key, _| readers.get(key).is_some_and(|jobs| jobs.iter().any(|job| is_wanted(job))));
        waiting = rest;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::platform::error::Code;

    #[tokio::test]
    async fn without_a_database_all_reads_of_a_batch_fail_with_one_wait() {
        let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(100));
        let pool = options.connect_lazy("postgres://127.0.0.1:1/nothing").unwrap();
        let reads: Reads<Uuid, u32, u32> =
            Reads::records("test", pool, |_, _, _| async { panic!("there is no connection") }.boxed());
        let company_id = Uuid::nil();
        let (one, other) = tokio::join!(reads.get(company_id, 1), reads.get(company_id, 2));
        for outcome in [one, other] {
            assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
        }
    }
}

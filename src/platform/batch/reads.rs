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

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{PgConnection, PgPool};

use super::{
    connection::WorkerConnection,
    gate::ReaderGate,
    gather::Gatherer,
    reading::{Reader, Reading},
};
use crate::platform::{
    budget::ByteBudget,
    error::{Error, Result},
};

/// Statements of one group at once. Reads flush nothing, so that fewer and larger statements cost the least.
const WORKERS: usize = 1;

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
    /// Alive while somebody waits for the row.
    wanted: Weak<()>,
}

impl<K> Item<K> {
    fn is_wanted(&self) -> bool {
        self.wanted.strong_count() > 0 && !self.budget.as_ref().is_some_and(|budget| budget.is_spent())
    }
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

    fn new(kind: &'static str, pool: PgPool, limits: Option<Limits<G, V>>, find: Arc<Find<G, K, V>>) -> Self {
        let limits = limits.map(Arc::new);
        let gatherer = Gatherer::new(kind, WORKERS, move |connection, partition, items| {
            let (pool, find, limits) = (pool.clone(), Arc::clone(&find), limits.clone());
            async move {
                let Partition { reader, group }: Partition<G> = partition;
                let read = match (reader, limits) {
                    (Some(reader), Some(limits)) => {
                        let place = limits.gate.enter(reader).await;
                        let read = read_lists(connection, &pool, &*find, &limits, &group, items).await;
                        // Whoever has no place holds no connection.
                        connection.release();
                        drop(place);
                        read
                    }
                    _ => read(connection, &pool, &*find, group, items.iter().map(|item| &item.key)).await,
                };
                match read {
                    Ok(found) => items.iter().map(|item| Some(Ok(found.get(&item.key).cloned()))).collect(),
                    Err(error) => {
                        connection.release();
                        items.iter().map(|_| Some(Err(error.clone()))).collect()
                    }
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
        self.submit(Partition { reader: None, group }, key, None).await
    }

    /// The list of `key`, read for `reading`; `None` if there is nothing that has a list.
    ///
    /// # Errors
    /// Those of the statement; `PAYLOAD_TOO_LARGE` when the budget of the answer is spent.
    pub(crate) async fn get_for(&self, reading: &Reading, group: G, key: K) -> Result<Option<V>> {
        let partition = Partition { reader: Some(reading.reader.clone()), group };
        let found = self.submit(partition, key, reading.budget.clone()).await;
        match &reading.budget {
            Some(budget) if budget.is_spent() => Err(budget.error()),
            _ => found,
        }
    }

    async fn submit(&self, partition: Partition<G>, key: K, budget: Option<Arc<ByteBudget>>) -> Result<Option<V>> {
        let waits = Arc::new(());
        let item = Item { key, budget, wanted: Arc::downgrade(&waits) };
        let found = self.gatherer.submit(partition, item).await;
        drop(waits);
        found.unwrap_or_else(|| Err(Error::internal(format!("the statement that reads {} panicked", self.kind))))
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
    find(connection.get(pool).await?, group, &keys).await
}

/// Reads the lists that are wanted, some keys at a time, and counts each to the answers that it is for.
async fn read_lists<G: Clone, K: Clone + Eq + Hash, V>(
    connection: &mut WorkerConnection,
    pool: &PgPool,
    find: &Find<G, K, V>,
    limits: &Limits<G, V>,
    group: &G,
    items: &[Item<K>],
) -> Result<HashMap<K, V>> {
    let mut readers: HashMap<&K, Vec<&Item<K>>> = HashMap::new();
    for item in items {
        readers.entry(&item.key).or_default().push(item);
    }
    let mut waiting: Vec<&K> = readers.keys().copied().collect();
    let most = (limits.keys)(group).max(1);
    let mut found = HashMap::new();
    while !waiting.is_empty() {
        waiting.retain(|key| readers[key].iter().any(|item| item.is_wanted()));
        let rest = waiting.split_off(most.min(waiting.len()));
        if waiting.is_empty() {
            break;
        }
        for (key, list) in read(connection, pool, find, group.clone(), waiting.iter().copied()).await? {
            let bytes = (limits.bytes)(&list);
            // The aliases of one request share the rows.
            let mut budgets: Vec<_> =
                readers.get(&key).into_iter().flatten().filter_map(|item| item.budget.as_ref()).collect();
            budgets.sort_unstable_by_key(|budget| Arc::as_ptr(budget));
            budgets.dedup_by_key(|budget| Arc::as_ptr(budget));
            for budget in budgets {
                budget.load(bytes);
            }
            found.insert(key, list);
        }
        // What was read for answers that have become too large is of no use.
        found.retain(|key, _| readers.get(key).is_some_and(|items| items.iter().any(|item| item.is_wanted())));
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

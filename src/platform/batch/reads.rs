//! Rows by their key, for many readers at once. Nothing is kept from one statement to the next: a read begins after it
//! was asked for, and sees everything that was committed before.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use tokio::time::timeout;
use uuid::Uuid;

use super::gather::{Bounds, Gatherer, Job, Order};
use crate::platform::{
    db::pool::deadline,
    error::{Error, Result},
};

/// Reads of one company and kind at once. Reads flush nothing, so that fewer and larger statements cost the least. What
/// waits is bounded by the requests that are under way, each of which is bounded itself.
const BOUNDS: Bounds = Bounds { workers: 1, spare: 1, waiting: usize::MAX };

/// Finds the rows of some keys of one company; a key without a row is left out.
type Find<K, V> =
    dyn for<'a> Fn(&'a mut PgConnection, Uuid, &'a [K]) -> BoxFuture<'a, Result<HashMap<K, V>>> + Send + Sync;

/// Gathers reads of one kind. Cheap to clone.
pub(crate) struct Reads<K, V> {
    kind: &'static str,
    gatherer: Gatherer<Uuid, K, Result<Option<V>>>,
}

impl<K, V> Clone for Reads<K, V> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, gatherer: self.gatherer.clone() }
    }
}

impl<K, V> fmt::Debug for Reads<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<K, V> Reads<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    /// Reads of `kind` (a label of metrics). Where `find` fails, all reads of its batch fail with it: nobody asks again
    /// while the database is away.
    pub(crate) fn new(
        kind: &'static str,
        pool: PgPool,
        find: impl for<'a> Fn(&'a mut PgConnection, Uuid, &'a [K]) -> BoxFuture<'a, Result<HashMap<K, V>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let find: Arc<Find<K, V>> = Arc::new(find);
        let time = deadline(&pool);
        let gatherer = Gatherer::new(kind, BOUNDS, move |connection, company_id, jobs| {
            let (pool, find) = (pool.clone(), Arc::clone(&find));
            async move {
                let (keys, waiting): (Vec<K>, Vec<_>) = jobs.into_iter().map(Job::split).unzip();
                let found = match connection.get(&pool).await {
                    Ok(held) => match timeout(time, find(held, company_id, &keys)).await {
                        Ok(found) => found.inspect_err(|_| connection.release()),
                        Err(late) => {
                            connection.close();
                            Err(Error::unavailable(late))
                        }
                    },
                    Err(error) => Err(error),
                };
                for (key, waits) in keys.iter().zip(waiting) {
                    waits.finish(found.as_ref().map(|found| found.get(key).cloned()).map_err(Clone::clone));
                }
            }
            .boxed()
        });
        Self { kind, gatherer }
    }

    /// The row of `key`, if there is one.
    ///
    /// # Errors
    /// Those of the statement.
    pub(crate) async fn get(&self, company_id: Uuid, key: K) -> Result<Option<V>> {
        let found = self.gatherer.submit(company_id, Order::default(), key).await;
        found
            .ok()
            .flatten()
            .unwrap_or_else(|| Err(Error::internal(format!("the statement that reads {} panicked", self.kind))))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;
    use crate::platform::error::Code;

    #[tokio::test]
    async fn without_a_database_all_reads_of_a_batch_fail_with_one_wait() {
        let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(100));
        let pool = options.connect_lazy("postgres://127.0.0.1:1/nothing").unwrap();
        let reads: Reads<u32, u32> =
            Reads::new("test", pool, |_, _, _| async { panic!("there is no connection") }.boxed());
        let company_id = Uuid::nil();
        let (one, other) = tokio::join!(reads.get(company_id, 1), reads.get(company_id, 2));
        for outcome in [one, other] {
            assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
        }
    }
}

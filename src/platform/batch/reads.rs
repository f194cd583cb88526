//! Rows by their key, for many readers at once. Nothing is kept from one statement to the next: a read begins after it
//! was asked for, and sees everything that was committed before.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::gather::Gatherer;
use crate::platform::error::{Error, Result};

/// Reads of one company and kind at once. Reads flush nothing, so that fewer and larger statements cost the least.
const WORKERS: usize = 1;

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
        let gatherer = Gatherer::new(kind, WORKERS, move |connection, company_id, keys| {
            let (pool, find) = (pool.clone(), Arc::clone(&find));
            async move {
                let found = match connection.get(&pool).await {
                    Ok(connection) => find(connection, company_id, keys).await,
                    Err(error) => Err(error),
                };
                match found {
                    Ok(found) => keys.iter().map(|key| Some(Ok(found.get(key).cloned()))).collect(),
                    Err(error) => {
                        connection.release();
                        keys.iter().map(|_| Some(Err(error.clone()))).collect()
                    }
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
        let found = self.gatherer.submit(company_id, key).await;
        found.unwrap_or_else(|| Err(Error::internal(format!("the statement that reads {} panicked", self.kind))))
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

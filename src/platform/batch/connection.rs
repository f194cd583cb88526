//! The connection of a worker, kept from one batch to the next: to return it to the pool and to take it again costs a
//! round trip, as much as the smallest batch.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::platform::{db::pool::close_hard, error::Result};

/// After this many batches the connection is returned all the same, so that others who wait for one have their turn.
const MOST_USES: u32 = 32;

/// No connection yet, or one of the pool's. Returned to the pool when dropped.
#[derive(Default)]
pub(super) struct WorkerConnection {
    connection: Option<PoolConnection<Postgres>>,
    uses: u32,
    /// There is a connection, and the pool had another one when this was used last.
    is_spare: bool,
}

impl WorkerConnection {
    /// The connection; taken from the pool if there is none.
    pub(super) async fn get(&mut self, pool: &PgPool) -> Result<&mut PgConnection> {
        if self.uses >= MOST_USES {
            self.release();
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => pool.acquire().await?,
        };
        self.uses += 1;
        self.is_spare = pool.num_idle() > 0 || pool.size() < pool.options().get_max_connections();
        Ok(self.connection.insert(connection))
    }

    /// True if a worker without jobs may keep the connection for a moment: nobody waits for it.
    pub(super) fn may_rest(&self) -> bool {
        self.is_spare
    }

    /// As if there were a connection and the pool had more.
    #[cfg(test)]
    pub(super) fn pretend(&mut self) {
        self.is_spare = true;
    }

    /// True between the first use of a connection and its return or its end.
    pub(super) fn is_held(&self) -> bool {
        self.connection.is_some()
    }

    /// Returns the connection, after a failure: the pool checks whether it still lives.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }

    /// Closes the connection, after a deadline: its link may be frozen.
    pub(super) fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            close_hard(connection);
        }
        *self = Self::default();
    }
}

//! The connection of one worker, held from one batch to the next: to give it back to the pool and to take it again
//! costs a round trip, as much as the smallest batches.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::platform::error::Result;

/// Batches after which it is given back all the same, so that others who wait for one have their turn.
const MOST_USES: u32 = 32;

/// Nothing yet, or a connection. Goes back to the pool when it is dropped.
#[derive(Default)]
pub(super) struct Held {
    connection: Option<PoolConnection<Postgres>>,
    uses: u32,
}

impl Held {
    /// The connection; taken from the pool if there is none.
    pub(super) async fn connection(&mut self, pool: &PgPool) -> Result<&mut PgConnection> {
        if self.uses >= MOST_USES {
            self.let_go();
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => pool.acquire().await?,
        };
        self.uses += 1;
        Ok(self.connection.insert(connection))
    }

    /// Gives it back. After a failure: the pool looks whether it still lives.
    pub(super) fn let_go(&mut self) {
        *self = Self::default();
    }
}

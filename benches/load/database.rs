//! A database of the throw-away Postgres, with the demo company and statements that name it.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use switchboard::demo;
use uuid::Uuid;

use crate::Result;

/// Chats that every database has from the start, for the parts that read.
pub(crate) const CHATS: u32 = 10_000;

/// Waiting races with one offer each. The key of the nth and the id of its chat are both `md5(prefix || n)`.
const OFFERS: &str = "
    with number as (select md5($1 || n)::uuid as id from generate_series(1, $2) as n),
    race as (
        insert into switchboard.chat_race (company_id, key, website_id, owner, state, expires_at)
        select 'COMPANY', id, 'WEBSITE', 'load', 'WAITING', switchboard.now() + interval '1 hour' from number
    )
    insert into switchboard.chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, headline,
        customer_name)
    select 'COMPANY', id, id, 'WEBSITE', 'CONTRACT', 'AGENT', 'load', 'ACTIVE', 'Hello?', 'Eve' from number
";

/// One database.
#[derive(Debug)]
pub(crate) struct Database {
    options: PgConnectOptions,
}

impl Database {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self { options }
    }

    /// A connection that bypasses all servers.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.options.clone().options([("search_path", "switchboard")])).await?)
    }

    /// Runs statements after [`fill_in`].
    pub(crate) async fn execute(&self, statements: &str) -> Result<()> {
        let mut connection = self.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(fill_in(statements))).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Makes `count` races with an offer each and returns the chats' ids. A prefix is used once.
    pub(crate) async fn offer(&self, prefix: &str, count: u32) -> Result<Vec<Uuid>> {
        let offers = sqlx::query(AssertSqlSafe(fill_in(OFFERS))).bind(prefix).bind(i32::try_from(count)?);
        offers.execute(&mut self.connect().await?).await?;
        self.offered(prefix, count).await
    }

    /// The ids of the chats that `offer` made.
    pub(crate) async fn offered(&self, prefix: &str, count: u32) -> Result<Vec<Uuid>> {
        let ids = sqlx::query_scalar("select md5($1 || n)::uuid from generate_series(1, $2) as n")
            .bind(prefix)
            .bind(i32::try_from(count)?)
            .fetch_all(&mut self.connect().await?)
            .await?;
        Ok(ids)
    }

    /// The folder of Postgres' Unix socket.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.options.get_socket().cloned().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.options.get_database().unwrap_or("switchboard")
    }

    /// The database as `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://switchboard@localhost:5432/{}?host={}", self.name(), self.socket_folder().display())
    }
}

/// Replaces COMPANY, WEBSITE, CONTRACT and AGENT by the demo company's ids, and CHATS by [`CHATS`].
pub(crate) fn fill_in(statements: &str) -> String {
    let contract = &demo::demo().contracts[0];
    statements
        .replace("COMPANY", &demo::COMPANY_ID.to_string())
        .replace("WEBSITE", &demo::WEBSITE_ID.to_string())
        .replace("CONTRACT", &contract.id.to_string())
        .replace("AGENT", &contract.agent_id.to_string())
        .replace("CHATS", &CHATS.to_string())
}

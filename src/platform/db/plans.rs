//! How sessions plan their statements.
//!
//! Most statements look rows up by keys, for any number of rows, so one plan fits every call: to plan one again takes
//! several times as long as to run it. So sessions keep the first plan (`force_generic_plan`). It may be made when the
//! tables are still empty, and it must look rows up by an index all the same, never scan what looked small then.
//!
//! Settings alone are not enough: on an empty table all indexes seem to cost the same, and of two tables that look empty
//! the planner may read either first. So such statements look rows up in lateral subqueries that cannot be merged
//! (`offset 0`, a limit, or a row lock), in the order of the one index that is meant, and change rows by `ctid`. A test
//! reads the plans of all statements.
//!
//! By its `ctid` a row is found only in the version that the statement's snapshot shows. One that was changed between the
//! snapshot and the row's lock is locked in its new version and then not written, without an error. So whoever writes by
//! `ctid` holds a lock since an earlier statement that everybody takes who changes the row, or locks the row on the premise
//! of what was read (a revision), or goes by the rows that were written.
//!
//! A list whose filters may be left out is different: the index it needs depends on which of them are given. It asks for a
//! plan of its own, see [`fetch_by_values`].

use sqlx::{
    Connection as _, IntoArguments, PgConnection, Postgres,
    postgres::{PgConnectOptions, PgRow},
    query::Map,
};

use crate::platform::error::Result;

/// How sessions of requests plan.
pub const REQUEST_SESSION: [(&str, &str); 2] = [("plan_cache_mode", GENERIC_PLANS), ("enable_seqscan", "off")];

/// How sessions that run batches, and those of timers, plan. What a statement was given is joined by hash, so that a batch of
/// many calls does not take the square of its size.
pub const BATCH_SESSION: [(&str, &str); 5] = [
    ("plan_cache_mode", GENERIC_PLANS),
    ("enable_bitmapscan", "off"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
];

const GENERIC_PLANS: &str = "force_generic_plan";

/// `options` for sessions of requests. Without `generic_plans` the planner may plan each call by its values. A distributed
/// Postgres needs them: it finds the node of a company by the value.
pub(super) fn of_requests(options: &PgConnectOptions, generic_plans: bool) -> PgConnectOptions {
    planning(options, &REQUEST_SESSION, generic_plans)
}

/// `options` for sessions that run batches, and for those of timers.
pub(super) fn of_batches(options: &PgConnectOptions, generic_plans: bool) -> PgConnectOptions {
    planning(options, &BATCH_SESSION, generic_plans)
}

fn planning(options: &PgConnectOptions, how: &[(&str, &str)], generic_plans: bool) -> PgConnectOptions {
    let settings =
        how.iter().map(|&(name, value)| (name, if value == GENERIC_PLANS && !generic_plans { "auto" } else { value }));
    options.clone().options(settings)
}

/// Fetches all rows of a query that is planned for the values it is given, and not for any.
///
/// # Errors
/// What the query fails with.
pub async fn fetch_by_values<'q, Row, F, A>(
    connection: &mut PgConnection,
    query: Map<'q, Postgres, F, A>,
) -> Result<Vec<Row>>
where
    F: FnMut(PgRow) -> sqlx::Result<Row> + Send,
    Row: Send + Unpin,
    A: 'q + Send + IntoArguments<Postgres>,
{
    // The settings end with it. Nothing is written in it.
    let mut transaction = connection.begin().await?;
    sqlx::query_file!("src/platform/db/sql/plan_by_values.sql").fetch_one(&mut *transaction).await?;
    let rows = query.fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(rows)
}

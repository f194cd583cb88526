//! What every session of a server has set, whatever the database is set to.

use sqlx::{Connection as _, PgConnection};
use switchboard::platform::db::connection_options;

use crate::support::{app::settings, cluster::TestDatabase};

#[tokio::test]
async fn statements_are_neither_compiled_nor_spread_over_processes_whatever_the_database_is_set_to() {
    // A Postgres with its default settings compiled statements of the call queue each time, for a second and a half, while
    // they held the company's lock.
    let database = TestDatabase::create().await;
    let mut owner = PgConnection::connect_with(&database.options()).await.unwrap();
    sqlx::raw_sql(
        "do $$ begin
             execute format('alter database %I set jit = on', current_database());
             execute format('alter database %I set jit_above_cost = 0', current_database());
             execute format('alter database %I set max_parallel_workers_per_gather = 2', current_database());
         end $$",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let options = connection_options(database.options(), &settings(&[]).database);
    let mut session = PgConnection::connect_with(&options).await.unwrap();
    for (name, expected) in [("jit_above_cost", "0"), ("jit", "off"), ("max_parallel_workers_per_gather", "0")] {
        let set: String =
            sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(&mut session).await.unwrap();
        assert_eq!(set, expected, "{name}");
    }
}

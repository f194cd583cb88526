//! The plans that sessions make once and keep.

use std::{fs, path::Path};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use switchboard::platform::db::{BATCH_SESSION, REQUEST_SESSION};

/// A session that plans as those of batches and timers do.
pub(crate) async fn session(database: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(&database.clone().options(BATCH_SESSION)).await.unwrap()
}

/// A session that plans as those of requests do.
pub(crate) async fn session_of_requests(database: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(&database.clone().options(REQUEST_SESSION)).await.unwrap()
}

/// The plan that the session keeps for the statement of this file.
pub(crate) async fn plan(session: &mut PgConnection, file: &str) -> String {
    let statement = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let highest = (1..=99).rev().find(|number| statement.contains(&format!("${number}"))).unwrap();
    let prepare = format!("deallocate all; prepare hot as {statement}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *session).await.unwrap();
    let explain = format!("explain execute hot({})", vec!["null"; highest].join(", "));
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(session).await.unwrap();
    lines.join("\n")
}

/// Fails unless the statements look all rows up by their whole keys. `when` says what the tables hold.
pub(crate) async fn assert_whole_keys(session: &mut PgConnection, when: &str, files: &[&str]) {
    for file in files {
        let plan = plan(session, file).await;
        for scan in ["Index Cond: (company_id = $1)\n", "Seq Scan", "hashed SubPlan", "Merge Join"] {
            assert!(!plan.contains(scan), "{when}, {file}: {scan}\n{plan}");
        }
    }
}

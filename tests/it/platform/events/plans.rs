//! The hot queries use their indexes, also on tables without statistics, such as today's partition at first.

use std::{fs, path::Path};

use sqlx::{AssertSqlSafe, PgConnection};

use super::{World, execute};

const ROWS: i32 = 50_000;

/// The checked query of the product that contains all of these words.
fn query(words: &[&str]) -> String {
    let described = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let found: Vec<String> = fs::read_dir(described)
        .unwrap()
        .map(|file| {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let description: serde_json::Value = serde_json::from_str(&text).unwrap();
            description["query"].as_str().unwrap().to_owned()
        })
        .filter(|query| words.iter().all(|word| query.contains(word)))
        .collect();
    assert_eq!(found.len(), 1, "{words:?}: {found:?}");
    found.into_iter().next().unwrap()
}

/// The plan that Postgres keeps for a prepared query, executed with `arguments`.
async fn plan(connection: &mut PgConnection, query: &str, arguments: &str) -> String {
    execute(connection, "deallocate all; set plan_cache_mode = force_generic_plan").await;
    execute(connection, &format!("prepare hot as {query}")).await;
    let explain = format!("explain (analyze, timing off) execute hot{arguments}");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(connection).await.unwrap();
    lines.join("\n")
}

#[track_caller]
fn assert_uses_only(plan: &str, index: &str) {
    assert!(plan.contains(index), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    // The primary key would give the requested order, at the price of reading all rows.
    assert!(!plan.replace("event_log_pkey", "").contains("_pkey"), "{plan}");
    assert!(!plan.contains("Rows Removed by Filter"), "{plan}");
}

#[tokio::test]
async fn the_reader_looks_events_up_by_transaction() {
    let mut world = World::new(&[]).await;
    let connection = &mut world.writer;
    let partition: String = sqlx::query_scalar("select 'event_' || to_char(now() at time zone 'UTC', 'YYYYMMDD')")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    execute(
        connection,
        &format!(
            "alter table {partition} set (autovacuum_enabled = off);
             insert into event (company_id, subject_type, subject_id, version, type, payload, occurred_at, xid)
             select '00000000-0000-0000-0000-000000000001', 'thing', (n % 500)::text, n, 'Filled', '{{}}',
                 clock_timestamp(), n::text::xid8
             from generate_series(1, {ROWS}) as n"
        ),
    )
    .await;
    // As the reader's connection is set up.
    execute(connection, "set enable_seqscan = off; set jit = off").await;
    let read = include_str!("../../../../src/platform/event/sql/read_after.sql");
    let quiet = plan(connection, read, &format!("('{ROWS}', '{{}}')")).await;
    assert_uses_only(&quiet, &format!("{partition}_xid_occurred_at_idx"));
    let busy = plan(connection, read, &format!("('{}', '{{17,4711,30000}}')", ROWS - 20)).await;
    assert_uses_only(&busy, &format!("{partition}_xid_occurred_at_idx"));
    assert!(busy.contains("rows=23"), "{busy}");

    execute(connection, "reset enable_seqscan; reset jit").await;
    let resume = include_str!("../../../../src/platform/event/sql/read_range.sql");
    let company = "00000000-0000-0000-0000-000000000001";
    for last in ["null, null, null", "'thing', '', 0"] {
        let since = format!("'{}', '{{4711}}', '{ROWS}', '{{}}'", ROWS - 20);
        let arguments = format!("('{company}', '{{thing}}', null, {since}, {last}, 10001)");
        let resumed = plan(connection, resume, &arguments).await;
        assert_uses_only(&resumed, &format!("{partition}_company_id_xid_idx"));
    }
    let near = include_str!("../../../../src/platform/event/sql/is_near_end.sql");
    let near = plan(connection, near, &format!("('{}', 100000)", ROWS - 20)).await;
    assert!(near.contains("xid_occurred_at_idx") && !near.contains("Seq Scan on event_2"), "{near}");
    let mark = include_str!("../../../../src/platform/event/sql/holds_mark.sql");
    let mark = plan(connection, mark, &format!("('{}', clock_timestamp())", ROWS - 20)).await;
    assert!(mark.contains("xid_occurred_at_idx") && !mark.contains("Seq Scan on event_2"), "{mark}");
    let position = include_str!("../../../../src/platform/event/sql/position_now.sql");
    let position = plan(connection, position, "").await;
    assert!(position.contains("xid_occurred_at_idx") && !position.contains("Seq Scan on event_2"), "{position}");
}

#[tokio::test]
async fn the_scheduler_looks_timers_up_by_due_time() {
    let mut world = World::new(&[]).await;
    let connection = &mut world.writer;
    execute(
        connection,
        &format!(
            "alter table timer set (autovacuum_enabled = off);
             insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
             select '00000000-0000-0000-0000-000000000001', 'thing', n::text, 'ring',
                 clock_timestamp() + make_interval(secs => n - 5), gen_random_uuid()
             from generate_series(1, {ROWS}) as n"
        ),
    )
    .await;
    let due = plan(connection, &query(&["due_at <= (select switchboard.now())", "limit $1"]), "(200)").await;
    assert_uses_only(&due, "timer_due");
    let next = plan(connection, &query(&["from timer order by due_at limit 1"]), "").await;
    assert_uses_only(&next, "timer_due");
}

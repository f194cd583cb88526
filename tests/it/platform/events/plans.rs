//! The hot queries use their indexes, also on tables without statistics, such as today's partition at first.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{World, execute};

const ROWS: i32 = 50_000;

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

    let company = "00000000-0000-0000-0000-000000000001";
    let since = format!("'{}', '{{4711}}', '{ROWS}', '{{}}'", ROWS - 20);
    for last in ["null, null, null", "'thing', '', 0"] {
        let resume = include_str!("../../../../src/platform/event/sql/read_range.sql");
        let arguments = format!("('{company}', '{{thing}}', {since}, {last}, 1000, 10000)");
        let resumed = plan(connection, resume, &arguments).await;
        assert_uses_only(&resumed, &format!("{partition}_company_id_xid_idx"));
        assert!(resumed.contains("Function Scan on event_newer"), "{resumed}");

        // A long range is read in the order of its pages.
        let long = include_str!("../../../../src/platform/event/sql/read_range_by_key.sql");
        let page = plan(connection, long, &format!("('{company}', '{{thing}}', {since}, {last}, 10)")).await;
        assert!(page.contains(&format!("{partition}_pkey")) && !page.contains("Seq Scan"), "{page}");
        assert!(!page.contains("Sort Key: event_2"), "{page}");
    }
    execute(connection, "reset enable_seqscan; reset jit").await;
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
    let due = include_str!("../../../../src/platform/timer/sql/due_timers.sql");
    let first = "'{thing}', '{ring}', '{1970-01-01Z}', '{00000000-0000-0000-0000-000000000000}', array['']";
    let due = plan(connection, due, &format!("({first}, 1000)")).await;
    assert_uses_only(&due, "timer_due");
    let next = include_str!("../../../../src/platform/timer/sql/next_due.sql");
    let next = plan(connection, next, "('{thing}', '{ring}', clock_timestamp())").await;
    assert_uses_only(&next, "timer_due");
}

#[tokio::test]
async fn a_narrow_stream_reads_the_events_of_its_scope() {
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
             insert into event (company_id, subject_type, subject_id, version, type, payload, occurred_at, xid, scopes)
             select '00000000-0000-0000-0000-000000000001', 'thing', (n % 500)::text, n, 'Filled', '{{}}',
                 clock_timestamp(), n::text::xid8, array[n % 5000, 7777777]
             from generate_series(1, {ROWS}) as n"
        ),
    )
    .await;
    // As in the transactions that read the log.
    execute(connection, "set enable_seqscan = off; set jit = off").await;
    let narrow = include_str!("../../../../src/platform/event/sql/read_narrow_range.sql");
    let company = "00000000-0000-0000-0000-000000000001";
    for (since, read) in [(0, format!("{partition}_scopes_idx")), (ROWS - 20, "event_newer".to_owned())] {
        let range = format!("'{since}', '{{}}', '{ROWS}', '{{}}', null, null, null, 1000, 10000");
        let arguments = format!("('{company}', '{{thing}}', {range}, '{{thing}}', '{{77}}', '{{4711}}', false)");
        let plan = plan(connection, narrow, &arguments).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        let mut ran: Vec<&str> = plan.lines().filter(|line| !line.contains("never executed")).collect();
        assert!(ran.iter().any(|line| line.contains(&read)), "{since}: {plan}");
        // 10 events of the key and 100 of the subject, or the newest 20. (Entries of an index without statistics are cheap.)
        ran.retain(|line| !line.contains("Bitmap Index Scan"));
        let most =
            ran.iter().filter_map(|line| line.split("rows=").last()?.split(' ').next()?.parse::<u32>().ok()).max();
        assert!(most <= Some(1_000), "{most:?}: {plan}");
    }
}

/// Functions plan for themselves: how many pages of the log a call reads tells whether it read more than it returned.
async fn pages(connection: &mut PgConnection, call: &str) -> i64 {
    let explain = format!("explain (analyze, buffers, timing off, format json) select {call}");
    // The first call plans, and reads the catalog for that.
    let mut hit = 0;
    for _ in 0..2 {
        let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain.as_str()))
            .persistent(false)
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let pages = |field: &str| plan[0]["Plan"][field].as_i64().unwrap();
        hit = pages("Shared Hit Blocks") + pages("Shared Read Blocks");
    }
    hit
}

#[tokio::test]
async fn what_is_newer_is_read_no_further_than_asked_also_with_a_plan_of_an_empty_log() {
    let mut world = World::new(&[]).await;
    let connection = &mut world.writer;
    let company = "00000000-0000-0000-0000-000000000001";
    let newer = |since: i32, most: i32| {
        format!("count(*) from event_newer('{company}', '{since}'::text::xid8, '{{}}', '{{thing}}', {most})")
    };
    let near = |since: i32| format!("event_is_near('{company}', '{since}'::text::xid8)");
    for call in [newer(0, 10), near(0)] {
        execute(connection, &format!("select {call}")).await;
    }
    execute(
        connection,
        &format!(
            "insert into event (company_id, subject_type, subject_id, version, type, payload, occurred_at, xid)
             select '{company}', 'thing', n::text, 1, 'Filled', '{{}}', clock_timestamp(), n::text::xid8
             from generate_series(1, {ROWS}) as n"
        ),
    )
    .await;
    // A thousand rows are on some 30 pages, of some 2,000.
    for call in [newer(0, 10), newer(ROWS - 10, 1_000), near(0), near(ROWS - 10)] {
        let pages = pages(connection, &call).await;
        assert!(pages < 100, "{call}: {pages} pages");
    }
}

//! The plans of what runs often: rows are looked up by their whole keys, also where a plan was made on empty tables.

use std::{fs, path::Path};

use sqlx::{AssertSqlSafe, PgConnection};

use super::caller;
use crate::support::app::TestApp;

/// Participants in sessions of ten, who are heard now.
const FILL: &str = "
    insert into session_coordination (company_id, session_id, active_provider, epoch, room_id, selected_by, version)
    select '5b000000-0000-7000-8000-000000000001', 's' || n, 'daily', 1, 'r', 'u1', 1 from generate_series(1, 2000) as n;
    update session_coordination set ended_at = created_at where session_id <> 's7';
    insert into session_participant (company_id, session_id, user_id, connection_state, last_seen, inserted_at)
    select company_id, session_id, 'u' || u, 'CONNECTED', now(), now() from session_coordination, generate_series(1, 10) as u;
    insert into session_health (company_id, session_id, user_id, last_ping, status)
    select company_id, session_id, user_id, now(), 'CONNECTED' from session_participant;
    insert into session_provider (company_id, name, rank, is_default)
    select '5b000000-0000-7000-8000-000000000001', 'provider-' || n, n, true from generate_series(1, 20) as n;
    insert into session_provider_outcome (company_id, provider, at, session_id, epoch, succeeded, folded)
    select company_id, name, now() - make_interval(mins => n), 's7', n, n % 2 = 0, true
    from session_provider, generate_series(1, 200) as n;
    insert into session_alert (company_id, alert_id, session_id, type, severity, user_ids, message, raised_at, cleared_at)
    select company_id, session_id || ':POOR_QUALITY', session_id, 'POOR_QUALITY', 'WARNING', '{u1}', 'poor', now(),
        case when session_id <> 's7' then now() end
    from session_coordination;
    analyze";

/// Prepares the statement of a file as servers do, and gives its plan.
async fn plan(sql: &mut PgConnection, file: &str) -> String {
    let statement = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let highest = (1..=20).rev().find(|number| statement.contains(&format!("${number}"))).unwrap();
    let prepare = format!("deallocate all; set plan_cache_mode = force_generic_plan; prepare hot as {statement}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *sql).await.unwrap();
    let explain = format!("explain execute hot({})", vec!["null"; highest].join(", "));
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(sql).await.unwrap();
    lines.join("\n")
}

/// The rows of `session_health` that this session has read.
async fn read_so_far(sql: &mut PgConnection) -> i64 {
    let read = "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
        from pg_stat_xact_all_tables where relname = 'session_health'";
    sqlx::query_scalar(read).fetch_one(sql).await.unwrap()
}

/// The rows of `session_health` that a call reads. It is rolled back.
async fn rows_read(sql: &mut PgConnection, call: &str) -> i64 {
    sqlx::raw_sql("begin").execute(&mut *sql).await.unwrap();
    let before = read_so_far(sql).await;
    sqlx::raw_sql(AssertSqlSafe(call.to_owned())).execute(&mut *sql).await.unwrap();
    let read = read_so_far(sql).await - before;
    sqlx::raw_sql("rollback").execute(sql).await.unwrap();
    read
}

const PINGS: &str = "select from heartbeat_pings(array(select 's' || n from generate_series(1, 200) as n), \
    array(select 'u1' from generate_series(1, 200)))";

#[tokio::test]
async fn a_batch_of_heartbeats_reads_its_own_rows_also_with_a_plan_of_empty_tables() {
    let app = TestApp::new().await;
    let mut sql = caller(&app).await;
    // This session's plans are made now and kept.
    for _ in 0..6 {
        sqlx::raw_sql(AssertSqlSafe(PINGS.to_owned())).execute(&mut sql).await.unwrap();
    }
    sqlx::raw_sql(FILL).execute(&mut app.sql().await).await.unwrap();
    for sql in [&mut sql, &mut caller(&app).await] {
        let rows = rows_read(sql, PINGS).await;
        assert!((200..=600).contains(&rows), "{rows} rows for 200 heartbeats of 20,000");
        for one in ["select heartbeat_ping('s3', 'u3')", "select update_session_health('s7', 'u3', 'connected')"] {
            let rows = rows_read(sql, one).await;
            assert!((1..=5).contains(&rows), "{rows} rows for {one}");
        }
    }
}

#[tokio::test]
async fn lists_and_reads_use_an_index() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    sqlx::raw_sql(FILL).execute(&mut sql).await.unwrap();
    for (file, index) in [
        ("src/session/sql/find_sessions.sql", "session_coordination_pkey"),
        ("src/session/sql/find_quality.sql", "session_coordination_pkey"),
        ("src/session/sql/find_user.sql", "session_participant_pkey"),
        ("src/session/sql/users_of_sessions.sql", "session_participant_pkey"),
        ("src/session/sql/count_users.sql", "session_participant_pkey"),
        ("src/session/sql/list_open_sessions.sql", "session_coordination_open"),
        ("src/session/sql/list_sessions.sql", "session_coordination_newest"),
        ("src/session/sql/list_alerts.sql", "session_alert_open"),
    ] {
        let plan = plan(&mut sql, file).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{file}\n{plan}");
    }
    // Sessions are open, on many providers.
    let open = "update session_coordination
        set ended_at = null, active_provider = 'provider-' || (1 + length(session_id) + hashtext(session_id) % 10);
        vacuum analyze session_coordination";
    for statement in open.split(';') {
        sqlx::raw_sql(statement).execute(&mut sql).await.unwrap();
    }
    let plan = plan(&mut sql, "src/session/sql/count_providers.sql").await;
    for index in ["session_coordination_provider", "session_provider_outcome_pkey"] {
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
}

#[tokio::test]
async fn the_sweep_of_presence_reads_each_row_once() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    sqlx::raw_sql(FILL).execute(&mut sql).await.unwrap();
    sqlx::query("insert into service_alive (server_id) values (gen_random_uuid())").execute(&mut sql).await.unwrap();
    let rows = rows_read(&mut sql, "select session_sweep_presence()").await;
    assert_eq!(rows, 20_000);
    // Nobody is silent: the next turn is due in half a second, so at once it reads nothing.
    let twice = "select session_sweep_presence(); select session_sweep_presence()";
    assert_eq!(rows_read(&mut sql, twice).await, 20_000);
}

#[tokio::test]
async fn health_is_judged_without_reading_the_sessions_that_have_no_trouble() {
    let app = TestApp::new().await;
    let mut sql = app.sql().await;
    sqlx::raw_sql(FILL).execute(&mut sql).await.unwrap();
    let open = "update session_coordination set ended_at = null; delete from session_alert";
    sqlx::raw_sql(open).execute(&mut sql).await.unwrap();
    assert_eq!(rows_read(&mut sql, "select session_judge_health()").await, 0);
    // Each of these concerns one session of ten.
    let judged = "select session_id from session_judge_health()";
    for (session, trouble) in [
        ("s11", "update session_health set poor_samples = 7 where session_id = 's11' and user_id = 'u1'"),
        ("s12", "update session_health set status = 'FAILED' where session_id = 's12' and user_id = 'u1'"),
        ("s13", "update session_health set status = 'DISCONNECTED', disconnected_at = now() where session_id = 's13' and user_id = 'u1'"),
        ("s14", "update session_health set slow_samples = 7, sampled_at = now(), sampled_epoch = 1 where session_id = 's14'"),
        ("s15", "update session_coordination set quality = '{\"shouldRecover\": true, \"recommendation\": \"high_latency_detected\"}' where session_id = 's15'"),
        ("s16", "insert into session_alert (company_id, alert_id, session_id, type, severity, user_ids, message, raised_at)
            select company_id, 's16:FAILED_CONNECTIONS', 's16', 'FAILED_CONNECTIONS', 'WARNING', '{u1}', 'cannot', now() from session_coordination where session_id = 's16'"),
    ] {
        sqlx::raw_sql("begin").execute(&mut sql).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(trouble.to_owned())).execute(&mut sql).await.unwrap();
        let before = read_so_far(&mut sql).await;
        let found: Vec<String> = sqlx::query_scalar(judged).fetch_all(&mut sql).await.unwrap();
        let read = read_so_far(&mut sql).await - before;
        sqlx::raw_sql("rollback").execute(&mut sql).await.unwrap();
        assert_eq!(found, [session]);
        assert!(read <= 50, "{read} rows for {session}");
    }
}

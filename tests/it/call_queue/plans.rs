//! What a call reads does not grow with what waits, also with plans that were made on empty tables.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::demo;
use uuid::Uuid;

use super::limit;
use crate::support::app::{TestApp, service};

/// Runs a statement; how many blocks it read.
async fn blocks(sql: &mut PgConnection, statement: &str) -> i64 {
    let explain = format!("explain (analyze, buffers, format json) {statement}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(sql).await.unwrap();
    let of = |what: &str| plan[0]["Plan"][what].as_i64().unwrap();
    of("Shared Hit Blocks") + of("Shared Read Blocks")
}

/// Adds contacts to a campaign.
fn enqueuing(campaign: &str, from: i32, count: i32) -> String {
    let company = demo::COMPANY_ID;
    format!(
        "select * from call_queue_enqueue('{company}', '{campaign}',
            array(select gen_random_uuid() from generate_series(1, {count})),
            array(select gen_random_uuid() from generate_series(1, {count})),
            array_fill('+14155552671'::text, array[{count}]),
            array(select 'c' || n from generate_series({from}, {from} + {count} - 1) as n),
            array_fill(null::text, array[{count}]), array_fill(null::text, array[{count}]))"
    )
}

/// What each of these reads: adding 20 contacts, ending a call, a dispatch, a place, a cancel.
async fn reads(sql: &mut PgConnection, campaign: &str, from: i32) -> [i64; 5] {
    let company = demo::COMPANY_ID;
    let newest = "select id from call_queue where status = 'QUEUED' order by number desc limit 1 offset 5";
    let newest: Uuid = sqlx::query_scalar(newest).fetch_one(&mut *sql).await.unwrap();
    let active: Uuid =
        sqlx::query_scalar("select min(call_id::text)::uuid from active_calls").fetch_one(&mut *sql).await.unwrap();
    let release = format!(
        "select * from call_release('{company}', array['{active}'::uuid], array['BUSY'], array[false],
             array[gen_random_uuid()])"
    );
    [
        blocks(sql, &enqueuing(campaign, from, 20)).await,
        blocks(sql, &release).await,
        blocks(sql, &format!("select * from call_dispatch('{company}', 500)")).await,
        blocks(sql, &format!("select * from call_queue_position('{company}', '{newest}', switchboard.now())")).await,
        blocks(sql, &format!("select call_queue_cancel('{company}', '{newest}')")).await,
    ]
}

#[tokio::test]
async fn what_a_call_reads_does_not_grow_with_the_line() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let create = "mutation { createCampaign(input: { campaign: { userId: \"user\", agentId: \"a\", name: \"n\",
        maxRetries: 1 } }) { campaign { id } } }";
    let campaign = node.data(&token, create, json!({})).await["campaign"]["id"].as_str().unwrap().to_owned();
    limit(&node, &token, "user", 2, 2).await;
    let mut sql = app.sql().await;
    // Nobody else counts the rows meanwhile.
    for table in ["call_queue", "call_queue_user", "call_queue_line", "call", "active_calls", "campaign"] {
        let off = format!("alter table {table} set (autovacuum_enabled = off)");
        sqlx::raw_sql(AssertSqlSafe(off)).execute(&mut sql).await.unwrap();
    }
    let mut transaction = sql.begin().await.unwrap();
    let lock = format!("select call_slots_lock('{}')", demo::COMPANY_ID);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *transaction).await.unwrap();
    blocks(&mut transaction, &enqueuing(&campaign, 0, 20)).await;
    blocks(&mut transaction, &format!("select * from call_dispatch('{}', 500)", demo::COMPANY_ID)).await;
    // The first ones make the plans.
    reads(&mut transaction, &campaign, 100).await;
    let short = reads(&mut transaction, &campaign, 200).await;
    for chunk in 1..=10 {
        blocks(&mut transaction, &enqueuing(&campaign, 1_000 * chunk, 500)).await;
    }
    let long = reads(&mut transaction, &campaign, 300).await;
    let what = ["adding contacts", "an end", "a dispatch", "a place", "a cancel"];
    for ((what, short), long) in what.iter().zip(short).zip(long) {
        // The indexes become one level deeper.
        assert!(long <= 2 * short + 30, "{what}: blocks in a line of 40: {short}; of 5,000: {long}");
    }
}

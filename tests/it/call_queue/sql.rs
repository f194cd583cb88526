//! The functions for SQL callers, by a role that was granted a company as the documentation says.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use switchboard::demo;
use uuid::Uuid;

use super::{call_of, direct, initiate, item_of};
use crate::support::{
    app::{TestApp, service},
    chat::other_company,
    process::{printed, switchboard_on},
};

const FUNCTIONS: [&str; 4] = [
    "select * from switchboard.get_next_direct_call_queued('user')",
    "select switchboard.count_user_direct_calls_queued('user')",
    "select switchboard.get_call_queue_position('00000000-0000-0000-0000-000000000000')",
    "select * from switchboard.get_next_queued_call('user')",
];

async fn choose(connection: &mut PgConnection, company_id: &str) {
    sqlx::query("select set_config('switchboard.company_id', $1, false)")
        .bind(company_id)
        .execute(connection)
        .await
        .unwrap();
}

async fn sqlstate(connection: &mut PgConnection, statement: &'static str) -> String {
    let error = sqlx::query(statement).fetch_all(connection).await.unwrap_err();
    error.as_database_error().unwrap_or_else(|| panic!("{error}")).code().unwrap().into_owned()
}

#[tokio::test]
async fn a_granted_role_looks_at_the_queue_of_its_company_and_of_no_other() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let role = format!("dialer_{}", Uuid::now_v7().simple());
    let mut owner = app.sql().await;
    sqlx::raw_sql(AssertSqlSafe(format!("create role {role} login"))).execute(&mut owner).await.unwrap();
    let company = demo::COMPANY_ID.to_string();
    let grant = ["sql-role", "grant", "--role", &role, "--company", &company];
    printed(switchboard_on(&app.database.url(), &grant)).await;

    let mut dialer = PgConnection::connect_with(&app.database.options().username(&role)).await.unwrap();
    for function in FUNCTIONS {
        assert_eq!(sqlstate(&mut dialer, function).await, "42501", "without a company: {function}");
    }
    choose(&mut dialer, &company).await;
    let next = sqlx::query(FUNCTIONS[0]).fetch_one(&mut dialer).await.unwrap();
    assert_eq!(next.get::<Uuid, _>("id").to_string(), item_of(&answers[2]));
    assert_eq!(next.get::<Uuid, _>("call_id").to_string(), call_of(&answers[2]));
    assert_eq!(next.get::<i64, _>("position"), 1);
    let count: i32 = sqlx::query_scalar(FUNCTIONS[1]).fetch_one(&mut dialer).await.unwrap();
    assert_eq!(count, 2);
    for (item, expected) in [(item_of(&answers[3]), Some(2_i64)), (call_of(&answers[0]), None)] {
        let place: Option<i64> = sqlx::query_scalar("select switchboard.get_call_queue_position($1::uuid)")
            .bind(item.parse::<Uuid>().unwrap())
            .fetch_one(&mut dialer)
            .await
            .unwrap();
        assert_eq!(place, expected);
    }
    let next = sqlx::query(FUNCTIONS[3]).fetch_one(&mut dialer).await.unwrap();
    assert_eq!(next.get::<Uuid, _>("id").to_string(), item_of(&answers[2]));
    // Nothing waits for others: no row, no error.
    for function in [
        "select * from switchboard.get_next_direct_call_queued('nobody')",
        "select * from switchboard.get_next_queued_call('nobody')",
    ] {
        assert_eq!(sqlx::query(function).fetch_all(&mut dialer).await.unwrap().len(), 0, "{function}");
    }
    for forbidden in [
        "select * from switchboard.claim_next_calls(1)",
        "select 1 from switchboard.call_queue",
        "select 1 from switchboard.active_calls",
        "select switchboard.call_slots_lock('00000000-0000-0000-0000-000000000000')",
    ] {
        assert_eq!(sqlstate(&mut dialer, forbidden).await, "42501", "{forbidden}");
    }
    let other = other_company(&app).await.to_string();
    choose(&mut dialer, &other).await;
    for function in FUNCTIONS {
        assert_eq!(sqlstate(&mut dialer, function).await, "42501", "of another company: {function}");
    }
    // Looking changed nothing.
    let status = node.data(&token, super::STATUS, json!({ "user": "user" })).await;
    assert_eq!(status["directCalls"]["queued"], 2);
    dialer.close().await.unwrap();
    let drop = format!("drop owned by {role}; drop role {role}");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut owner).await.unwrap();
}

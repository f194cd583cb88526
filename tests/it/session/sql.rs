//! SQL callers: the functions by name, their shapes, and whom they act for.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use switchboard::demo;

use super::{CHANGED, caller, result};
use crate::support::{
    app::{TestApp, service},
    chat::other_company,
};

/// The names of an object's fields.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

#[tokio::test]
async fn results_have_the_keys_that_callers_read() {
    let app = TestApp::new().await;
    let mut sql = caller(&app).await;
    let chosen = result(
        &mut sql,
        "select_session_provider(p_session_id => 's', p_user_id => 'ann', p_provider => 'daily', p_room_id => 'r')",
    )
    .await;
    for key in ["success", "provider", "room_id", "selected_by", "is_new_selection", "reason"] {
        assert!(keys(&chosen).contains(&key), "{chosen}");
    }
    let state = result(&mut sql, "update_user_session_state(p_session_id => 's', p_user_id => 'ann', p_user_name => 'Ann', p_connection_state => 'connected', p_current_provider => 'daily')").await;
    assert_eq!(
        (&state["success"], &state["connection_state"], &state["current_provider"]),
        (&json!(true), &json!("connected"), &json!("daily"))
    );
    let health = result(
        &mut sql,
        r#"update_session_health('s', 'ann', 'connected', '{"latency": "43.7", "packetLoss": 0.25}')"#,
    )
    .await;
    assert_eq!(health["connection_status"], "connected");
    assert!(health["health_id"].is_string() && health["last_ping"].is_string());
    let overview = result(&mut sql, "get_session_health_overview('s')").await;
    let ann = &overview["users"][0];
    assert_eq!((&ann["networkLatency"], &ann["packetLossPercent"]), (&json!(44), &json!(0.25)));
    let pinged = result(&mut sql, "heartbeat_ping('s', 'ann')").await;
    assert_eq!(keys(&pinged), ["ping_time", "success"]);
    let info = result(&mut sql, "get_session_coordination_info('s')").await;
    for key in
        ["sessionId", "activeProvider", "fallbackProvider", "roomInfo", "lastProviderChange", "reconnectionInProgress"]
    {
        assert!(keys(&info["session"]).contains(&key), "{info}");
    }
    assert_eq!(info["users"][0]["connectionState"], "connected");
    let recovered = result(&mut sql, "coordinate_provider_recovery('s', 'daily', 'ann')").await;
    for key in [
        "success",
        "failed_provider",
        "new_provider",
        "room_id",
        "affected_users",
        "initiated_by",
        "recovery_reason",
        "outcome",
        "epoch",
    ] {
        assert!(keys(&recovered).contains(&key), "{recovered}");
    }
    assert_eq!(recovered["affected_users"], json!(["ann"]));
    let silent = result(&mut sql, "detect_stale_connections('s')").await;
    assert_eq!(silent, json!({ "stale_users_detected": false, "stale_user_ids": [], "recovery_needed": false }));
    let quality = result(&mut sql, "recommend_quality_recovery('s')").await;
    assert_eq!(keys(&quality), ["metrics", "recommendation", "should_recover"]);
    assert_eq!(result(&mut sql, "get_session_health_alerts('s')").await, json!({ "alerts": [] }));
    // Unknown sessions have an empty shape.
    assert_eq!(result(&mut sql, "coalesce(get_session_coordination_info('x'), 'null')").await, Value::Null);
    assert_eq!(result(&mut sql, "get_session_health_overview('x')").await["users"], json!([]));
    assert_eq!(result(&mut sql, "coordinate_provider_recovery('x', 'daily', 'ann')").await["success"], false);
}

#[tokio::test]
async fn what_sql_changes_reaches_subscribers_at_once() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut stream = node.subscribe(&service(), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    let mut sql = caller(&app).await;
    result(&mut sql, "select_session_provider('s', 'ann', 'daily', 'r')").await;
    assert_eq!(stream.event().await["operation"], "INSERT");
    result(&mut sql, "coordinate_provider_recovery('s', 'daily', 'ann', 1)").await;
    assert_eq!(stream.event().await["record"]["epoch"], 2);
    let events = "{ events(subjectId: \"s\") { nodes { type actor subjectType } } }";
    let trail = node.data(&service(), events, json!({})).await;
    let trail: Vec<_> =
        trail["nodes"].as_array().unwrap().iter().map(|event| (&event["type"], &event["actor"])).collect();
    assert_eq!(
        trail,
        [(&json!("SessionProviderSelected"), &json!("ann")), (&json!("SessionProviderSwitched"), &json!("ann"))]
    );
    node.stop().await;
}

#[tokio::test]
async fn a_role_reaches_only_the_companies_that_it_is_granted() {
    let app = TestApp::new().await;
    let other = other_company(&app).await;
    let mut owner = app.sql().await;
    let role = format!("session_caller_{}", uuid::Uuid::new_v4().simple());
    for statement in [
        format!("create role {role} login"),
        format!("grant usage on schema switchboard to {role}"),
        format!("grant execute on function switchboard.select_session_provider(text, text, text, text) to {role}"),
        format!("insert into sql_principal (company_id, role) values ('{}', '{role}')", demo::COMPANY_ID),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut owner).await.unwrap();
    }
    let mut sql = PgConnection::connect_with(&app.database.options().username(&role)).await.unwrap();
    let call = "select_session_provider('s', 'ann', 'daily', 'r')";
    assert_eq!(result(&mut sql, call).await["is_new_selection"], true, "one company needs no setting");
    sqlx::raw_sql(AssertSqlSafe(format!("set switchboard.company_id = '{other}'"))).execute(&mut sql).await.unwrap();
    let refused = result(&mut sql, call).await;
    assert_eq!((&refused["success"], &refused["code"]), (&json!(false), &json!("FORBIDDEN")));
    for setting in ["", "nonsense"] {
        sqlx::raw_sql(AssertSqlSafe(format!("set switchboard.company_id = '{setting}'")))
            .execute(&mut owner)
            .await
            .unwrap();
        assert_eq!(result(&mut owner, call).await["success"], false, "'{setting}'");
    }
    let internal = "select session_sweep_presence(true)";
    assert!(sqlx::query(internal).execute(&mut sql).await.is_err(), "not for callers");
    assert!(sqlx::query("select * from session_coordination").execute(&mut sql).await.is_err(), "tables neither");
    // Equal ids in two companies are two sessions.
    sqlx::raw_sql(AssertSqlSafe(format!("set switchboard.company_id = '{other}'"))).execute(&mut owner).await.unwrap();
    assert_eq!(result(&mut owner, call).await["is_new_selection"], true);
    drop(sql);
    sqlx::raw_sql(AssertSqlSafe(format!("drop owned by {role}; drop role {role}"))).execute(&mut owner).await.unwrap();
}

/// What a role may call once it is granted a company. The two that are not for callers reach the caller's company only.
const CALLABLE: [&str; 12] = [
    "coordinate_provider_recovery",
    "detect_stale_connections",
    "get_session_coordination_info",
    "get_session_health_alerts",
    "get_session_health_overview",
    "heartbeat_ping",
    "heartbeat_pings",
    "recommend_quality_recovery",
    "select_session_provider",
    "session_company",
    "update_session_health",
    "update_user_session_state",
];

#[tokio::test]
async fn a_granted_role_works_in_its_company_and_hears_nobody_elses_participants() {
    let app = TestApp::new().await;
    let other = other_company(&app).await;
    let mut owner = app.sql().await;
    let role = format!("session_caller_{}", uuid::Uuid::new_v4().simple());
    for statement in [
        format!("create role {role} login"),
        format!("insert into sql_principal (company_id, role) values ('{}', '{role}')", demo::COMPANY_ID),
        "select grant_sql_functions()".to_owned(),
        format!("set switchboard.company_id = '{other}'"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut owner).await.unwrap();
    }
    let callable: Vec<String> = sqlx::query_scalar(
        "select proname::text from pg_proc
         where pronamespace = 'switchboard'::regnamespace and prosecdef and has_function_privilege($1, oid, 'execute')
             and (proname ~ 'session|provider|stale|heartbeat|quality')
         order by proname",
    )
    .bind(&role)
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(callable, CALLABLE);

    // Every function that writes, by the role: its events are appended by a caller that is not the owner.
    let mut sql = PgConnection::connect_with(&app.database.options().username(&role)).await.unwrap();
    for call in [
        "select_session_provider('s', 'ann', 'daily', 'r')",
        "update_user_session_state('s', 'ann', 'Ann', 'connected', 'daily')",
        "update_session_health('s', 'ben', 'connected', '{\"latency\": 900}')",
        "update_session_health('s', 'ben', 'disconnected')",
        "heartbeat_ping('s', 'ben')",
        "coordinate_provider_recovery('s', 'daily', 'ann', 1)",
    ] {
        assert_eq!(result(&mut sql, call).await["success"], true, "{call}");
        assert_eq!(result(&mut owner, call).await["success"], true, "the same in the other company: {call}");
    }
    let pings = "select array_agg(last_ping order by user_id) from session_health where company_id = $1";
    let before: Vec<time::OffsetDateTime> = sqlx::query_scalar(pings).bind(other).fetch_one(&mut owner).await.unwrap();
    let heard: Vec<bool> =
        sqlx::query_scalar("select is_heard from heartbeat_pings('{s, s, elsewhere}', '{ann, ben, ann}')")
            .fetch_all(&mut sql)
            .await
            .unwrap();
    assert_eq!(heard, [true, true, false]);
    let after: Vec<time::OffsetDateTime> = sqlx::query_scalar(pings).bind(other).fetch_one(&mut owner).await.unwrap();
    assert_eq!(after, before);
    let company: uuid::Uuid = sqlx::query_scalar("select session_company()").fetch_one(&mut sql).await.unwrap();
    assert_eq!(company, demo::COMPANY_ID);
    drop(sql);
    sqlx::raw_sql(AssertSqlSafe(format!("drop owned by {role}; drop role {role}"))).execute(&mut owner).await.unwrap();
}

#[tokio::test]
async fn an_isolation_in_which_a_lock_is_older_than_its_snapshot_is_refused() {
    let app = TestApp::new().await;
    let mut sql = caller(&app).await;
    let mut transaction = sql.begin_with("begin isolation level repeatable read").await.unwrap();
    let refused =
        sqlx::query("select select_session_provider('s', 'ann', 'daily', 'r')").execute(&mut *transaction).await;
    assert!(refused.unwrap_err().to_string().contains("read committed"));
}

#[tokio::test]
async fn every_record_has_the_names_that_append_event_asks_for() {
    let app = TestApp::new().await;
    let mut sql = caller(&app).await;
    for call in [
        "select_session_provider('s', 'ann', 'daily', 'r')",
        "update_user_session_state('s', 'ann', 'Ann', 'connected', 'daily')",
        "update_session_health('s', 'ann', 'failed', '{\"latency\": 900}')",
        "update_session_health('s', 'ann', 'failed', '{\"latency\": 900}')",
        "update_session_health('s', 'ann', 'failed', '{\"latency\": 900}')",
        "set_session_providers('{zoom}', '{true}', 'boss')",
    ] {
        assert_eq!(result(&mut sql, call).await["success"], true, "{call}");
    }
    sqlx::query("select session_publish_health(company_id, session_id) from session_coordination")
        .execute(&mut sql)
        .await
        .unwrap();
    let different: Vec<String> = sqlx::query_scalar(
        "select known.subject_type
         from event_subject as known
         left join lateral (
             select array_agg(distinct name) as names
             from event, json_object_keys(payload) as name
             where event.subject_type = known.subject_type
         ) as written on true
         where known.subject_type like 'session%'
             and not (written.names @> known.names and written.names <@ known.names) is true",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(different, Vec::<String>::new());
}

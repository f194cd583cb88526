//! Quality: alerts, recommendations, and the switch that follows from them.

use serde_json::{Value, json};

use super::{HEALTH, participant, sample, select, state, turns};
use crate::support::{
    app::{Node, TestApp, service},
    client::Subscription,
};

const ALERTS: &str = "subscription($id: ID) { healthAlerts(sessionId: $id) { operation cursor
    record { id type severity count userIds version clearedAt } } }";
const OVERVIEW: &str =
    "{ sessionHealth(sessionId: \"s\") { users { userId connectionStatus videoQuality latency packetLoss
    jitter score pingAgeSeconds } stats { totalUsers connectedUsers avgLatency avgPacketLoss } } }";
const SESSION: &str = "{ sessionCoordination(sessionId: \"s\") { epoch activeProvider selectedBy recoveryReason } }";

/// A session in which these users are on `daily`, judged twice a second.
async fn session_of(app: &TestApp, users: &[&str], flags: &[&str]) -> Node {
    let mut all = flags.to_vec();
    if !flags.contains(&"--health-check-every") {
        all.extend(["--health-check-every", "500ms"]);
    }
    let node = app.node_with(&all).await;
    select(&node, "s", users[0], "daily").await;
    for user in users {
        state(&node, "s", user, "CONNECTED", "daily").await;
    }
    node
}

/// So many equal samples of a user.
async fn samples(node: &Node, user: &str, latency: i32, count: usize) {
    for _ in 0..count {
        sample(node, "s", user, json!({ "latency": latency, "packetLoss": 0.5 })).await;
    }
}

async fn alert(stream: &mut Subscription) -> (Value, Value, Value) {
    let mut event = stream.event().await;
    (event["operation"].take(), event["record"]["severity"].take(), event["record"]["userIds"].take())
}

#[tokio::test]
async fn poor_quality_is_raised_at_three_of_five_and_cleared_at_none() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann", "bob", "carl"], &["--automatic-recovery", "false"]).await;
    let mut stream = node.subscribe(&service(), ALERTS, json!({ "id": "s" })).await;
    assert!(stream.ready().await.is_empty());
    samples(&node, "ann", 500, 2).await;
    samples(&node, "ann", 50, 1).await;
    samples(&node, "bob", 500, 3).await;
    assert_eq!(alert(&mut stream).await, (json!("INSERT"), json!("WARNING"), json!(["bob"])));
    samples(&node, "ann", 500, 2).await;
    assert_eq!(alert(&mut stream).await, (json!("UPDATE"), json!("ERROR"), json!(["ann", "bob"])));
    samples(&node, "bob", 50, 4).await;
    samples(&node, "ann", 50, 5).await;
    assert_eq!(
        alert(&mut stream).await,
        (json!("UPDATE"), json!("WARNING"), json!(["bob"])),
        "one poor sample is left"
    );
    samples(&node, "bob", 50, 1).await;
    assert_eq!(alert(&mut stream).await.0, "DELETE");
    samples(&node, "bob", 500, 3).await;
    let again = stream.event().await;
    assert_eq!((&again["operation"], &again["record"]["version"]), (&json!("INSERT"), &json!(5)), "versions go on");
    node.stop().await;
}

/// Alerts of another session, more than a resume reads to look for a few.
const CROWD: &str = "
    insert into event (company_id, subject_type, subject_id, version, type, payload, scopes)
    select company_id, subject_type, 'crowd', number, type,
        jsonb_set(payload::jsonb, '{sessionId}', '\"crowd\"')::json, array[number]
    from (select * from event where subject_type = 'session_alert' limit 1) as alert
    cross join generate_series(1, 3000) as number";

#[tokio::test]
async fn a_resume_finds_the_alerts_of_its_session_however_many_others_there_were() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann", "bob", "carl"], &["--automatic-recovery", "false"]).await;
    let mut stream = node.subscribe(&service(), ALERTS, json!({ "id": "s" })).await;
    assert!(stream.ready().await.is_empty());
    samples(&node, "ann", 500, 3).await;
    let raised = stream.event().await;
    samples(&node, "bob", 500, 3).await;
    let changed = stream.event().await;
    sqlx::raw_sql(CROWD).execute(&mut app.sql().await).await.unwrap();
    let document = ALERTS.replace("($id: ID)", "($id: ID, $after: Cursor)").replace("$id)", "$id, after: $after)");
    let after = json!({ "id": "s", "after": raised["cursor"] });
    let mut resumed = node.subscribe(&service(), &document, after).await;
    let found = resumed.until(|event| event["operation"] == "READY").await;
    assert_eq!((found.len(), &found[0]["record"]), (2, &changed["record"]), "{found:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_trend_switches_once_and_noise_never() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann", "bob"], &[]).await;
    app.advance(31).await;
    for user in ["ann", "bob"] {
        state(&node, "s", user, "CONNECTED", "daily").await;
    }
    // Noise: single spikes.
    for latency in [60, 3_000, 80, 70, 2_500, 90, 80, 60] {
        samples(&node, "ann", latency, 1).await;
        samples(&node, "bob", 70, 1).await;
    }
    turns(&app, "health", 2).await;
    assert_eq!(node.data(&service(), SESSION, json!({})).await["epoch"], 1);
    let quality = "subscription { qualityRecovery(sessionId: \"s\") { shouldRecover recommendation metrics } }";
    let mut stream = node.subscribe(&participant("s", "ann"), quality, json!({})).await;
    assert_eq!(stream.event().await["shouldRecover"], false);
    // A trend: slower and slower.
    for latency in [200, 400, 700, 900, 1_100, 1_300] {
        samples(&node, "ann", latency, 1).await;
        samples(&node, "bob", latency, 1).await;
    }
    let recommended = stream.event().await;
    assert_eq!(
        (&recommended["shouldRecover"], &recommended["recommendation"]),
        (&json!(true), &json!("high_latency_detected"))
    );
    // The samples are of the epoch before: they are no reason to switch again.
    assert_eq!(stream.event().await["shouldRecover"], false);
    turns(&app, "health", 2).await;
    let session = node.data(&service(), SESSION, json!({})).await;
    assert_eq!((&session["epoch"], &session["activeProvider"]), (&json!(2), &json!("p2p")));
    assert_eq!(
        (&session["selectedBy"], &session["recoveryReason"]),
        (&json!("system"), &json!("high_latency_detected"))
    );
    node.stop().await;
}

/// What two participants measure on two providers, of which one degrades from second 180 on: second, user, provider, round
/// trip, loss, jitter. Synthesized by a model; `degradation.py` beside it says which.
const TRACE: &str = include_str!("traces/degradation.csv");

#[tokio::test]
async fn a_gradual_degradation_is_warned_of_and_then_left_once() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann", "bob"], &["--health-check-every", "10m"]).await;
    let mut sql = app.sql().await;
    let (mut provider, mut warned_at, mut switched_at) = ("daily".to_owned(), None, None);
    let mut seconds: Vec<i64> = Vec::new();
    let rows: Vec<Vec<&str>> = TRACE.lines().skip(1).map(|line| line.split(',').collect()).collect();
    seconds.extend(rows.iter().map(|row| row[0].parse::<i64>().unwrap()));
    seconds.dedup();
    assert_eq!(seconds.len(), 84);
    for second in seconds {
        app.advance(second).await;
        for row in rows.iter().filter(|row| row[0] == second.to_string() && row[2] == provider) {
            let whole = |place: usize| row[place].parse::<i32>().unwrap();
            let loss: f64 = row[4].parse().unwrap();
            let metrics = json!({ "latency": whole(3), "packetLoss": loss, "jitter": whole(5) });
            sample(&node, "s", row[1], metrics).await;
        }
        // What servers do in their turn at the session's health.
        let publish = "select session_publish_health(company_id, session_id) from session_coordination";
        sqlx::query(publish).execute(&mut sql).await.unwrap();
        let warns = "select exists (select from session_alert where type = 'POOR_QUALITY' and cleared_at is null)";
        if sqlx::query_scalar(warns).fetch_one(&mut sql).await.unwrap() {
            warned_at = warned_at.or(Some(second));
        }
        let session = node.data(&service(), SESSION, json!({})).await;
        let active = session["activeProvider"].as_str().unwrap();
        if active != provider {
            assert_eq!((switched_at, active), (None, "p2p"), "at second {second}");
            assert_eq!(session["recoveryReason"], "high_latency_detected");
            (provider, switched_at) = (active.to_owned(), Some(second));
            for user in ["ann", "bob"] {
                state(&node, "s", user, "CONNECTED", active).await;
            }
        }
    }
    // The round trips pass 400 ms at second 230 and 800 ms at second 260. The spikes before are no reason for anything.
    let (warned_at, switched_at) = (warned_at.expect("an alert"), switched_at.expect("a switch"));
    assert!((230..=250).contains(&warned_at) && (260..=290).contains(&switched_at), "{warned_at} {switched_at}");
    let session = node.data(&service(), SESSION, json!({})).await;
    assert_eq!((&session["epoch"], &session["activeProvider"]), (&json!(2), &json!("p2p")));
    node.stop().await;
}

#[tokio::test]
async fn a_square_wave_switches_at_most_once_a_dwell() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann"], &[]).await;
    // Two minutes of 3 s good, 3 s bad, a sample a second, wherever the session goes.
    let mut sql = app.sql().await;
    for second in 0..40 {
        let at = 31 + second * 3;
        app.advance(at).await;
        let provider = node.data(&service(), SESSION, json!({})).await["activeProvider"].clone();
        state(&node, "s", "ann", "CONNECTED", provider.as_str().unwrap()).await;
        samples(&node, "ann", if second % 2 == 0 { 1_500 } else { 50 }, 3).await;
        sqlx::query("select session_publish_health(company_id, session_id) from session_coordination")
            .execute(&mut sql)
            .await
            .unwrap();
    }
    let epoch = node.data(&service(), SESSION, json!({})).await["epoch"].as_i64().unwrap();
    assert!((2..=6).contains(&epoch), "120 s hold four dwells: {epoch}");
    node.stop().await;
}

#[tokio::test]
async fn health_shows_what_was_reported() {
    let app = TestApp::new().await;
    let node = session_of(&app, &["ann", "bob"], &[]).await;
    sample(&node, "s", "ann", json!({ "latency": 120, "packetLoss": 0.5, "jitter": 4, "bandwidth": 2_000 })).await;
    let overview = node.data(&service(), OVERVIEW, json!({})).await;
    let ann = &overview["users"][0];
    assert_eq!((&ann["videoQuality"], &ann["latency"], &ann["jitter"]), (&json!("GOOD"), &json!(120), &json!(4)));
    assert_eq!(overview["stats"]["totalUsers"], 2);
    assert_eq!(overview["stats"]["avgLatency"], 120.0);
    for bad in
        [json!({ "latency": -1 }), json!({ "packetLoss": 100.5 }), json!({ "jitter": -3 }), json!({ "bandwidth": -1 })]
    {
        let input = json!({ "sessionId": "s", "userId": "ann", "status": "CONNECTED", "qualityMetrics": bad });
        assert_eq!(node.code(&service(), HEALTH, json!({ "input": input })).await, "BAD_USER_INPUT");
    }
    assert_eq!(node.data(&service(), OVERVIEW, json!({})).await["users"][0]["latency"], 120, "nothing changed");
    let unknown = "{ sessionHealth(sessionId: \"x\") { users { id } stats { totalUsers } } }";
    assert_eq!(node.data(&service(), unknown, json!({})).await["stats"]["totalUsers"], 0);
    node.stop().await;
}

//! The choice of a provider: the first to ask chooses for everybody.

use futures_util::future::join_all;
use serde_json::json;

use super::{CHANGED, SELECT, caller, choice, count_events, participant, result, select};
use crate::support::app::{TestApp, service};

#[tokio::test]
async fn the_first_to_ask_chooses_for_everybody() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut stream = node.subscribe(&participant("s", "ann"), CHANGED, json!({ "id": "s" })).await;
    assert_eq!(stream.ready().await.len(), 0, "nobody has named it yet");
    let first = select(&node, "s", "ann", "daily").await;
    assert_eq!(first["isNewSelection"], true);
    assert_eq!(first["reason"], "Selected daily as first user");
    let event = stream.event().await;
    assert_eq!((&event["operation"], &event["record"]["activeProvider"]), (&json!("INSERT"), &json!("daily")));
    let second = select(&node, "s", "bob", "p2p").await;
    assert_eq!(second["isNewSelection"], false);
    assert_eq!(second["reason"], "Using existing daily selection by ann");
    for field in ["provider", "roomId", "selectedBy", "epoch"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    // An existing choice is answered whatever provider is named.
    assert_eq!(select(&node, "s", "carl", "nonsense").await["provider"], "daily");
    node.stop().await;
}

#[tokio::test]
async fn of_a_thousand_simultaneous_joiners_one_chooses() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let token = service();
    let over_http = (0..900).map(|n| {
        let (node, token) = (&nodes[n % 2], &token);
        async move {
            let provider = if n % 3 == 0 { "p2p" } else { "daily" };
            let answer = node.data(token, SELECT, choice("storm", &format!("u{n}"), provider)).await;
            [&answer["provider"], &answer["roomId"], &answer["selectedBy"], &answer["isNewSelection"]]
                .map(ToString::to_string)
        }
    });
    let over_sql = (0..20).map(|n| {
        let app = &app;
        async move {
            let mut sql = caller(app).await;
            let mut answers = Vec::new();
            for m in 0..5 {
                let call = format!("select select_session_provider('storm', 's{n}-{m}', 'p2p', 'sql {n}')");
                let answer: serde_json::Value =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(&mut sql).await.unwrap();
                assert_eq!(answer["success"], true, "{answer}");
                answers.push(
                    [&answer["provider"], &answer["room_id"], &answer["selected_by"], &answer["is_new_selection"]]
                        .map(ToString::to_string),
                );
            }
            answers
        }
    });
    let (http, sql) = futures_util::join!(join_all(over_http), join_all(over_sql));
    let all: Vec<_> = http.into_iter().chain(sql.into_iter().flatten()).collect();
    assert_eq!(all.len(), 1_000);
    assert_eq!(all.iter().filter(|answer| answer[3] == "true").count(), 1, "one new selection");
    assert!(all.iter().all(|answer| answer[..3] == all[0][..3]), "all answers are equal");
    assert_eq!(count_events(&app, "storm", "SessionProviderSelected").await, 1);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn bad_input_changes_nothing() {
    let app = TestApp::new().await;
    let node = app.node().await;
    for (session, user, provider) in
        [("s", "ann", "zoom"), ("s", "ann", "none"), ("s", "ann", ""), ("", "ann", "daily"), ("s", " ", "daily")]
    {
        let code = node.code(&service(), SELECT, choice(session, user, provider)).await;
        assert_eq!(code, "BAD_USER_INPUT", "{session} {user} {provider}");
    }
    let known = node.run(&service(), "{ sessionCoordination(sessionId: \"s\") { epoch } }", json!({})).await;
    assert_eq!(known["data"]["sessionCoordination"], json!(null));
    let mut sql = caller(&app).await;
    for call in [
        "select_session_provider('s', 'ann', 'zoom', 'r')",
        "select_session_provider(null, 'ann', 'daily', 'r')",
        "select_session_provider('s', null, 'daily', 'r')",
        "select_session_provider('s', 'ann', null, 'r')",
        "select_session_provider('s', 'ann', 'daily', null)",
    ] {
        let refused = result(&mut sql, call).await;
        assert_eq!(refused["success"], false, "{call}");
        assert!(refused["error"].is_string(), "{call}");
    }
    node.stop().await;
}

#[tokio::test]
async fn participants_reach_themselves_in_their_session_only() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let ann = participant("s", "ann");
    assert_eq!(node.code(&ann, SELECT, choice("s", "bob", "daily")).await, "FORBIDDEN");
    assert_eq!(node.code(&ann, SELECT, choice("other", "ann", "daily")).await, "FORBIDDEN");
    let other = "{ sessionCoordination(sessionId: \"other\") { epoch } }";
    assert_eq!(node.code(&ann, other, json!({})).await, "FORBIDDEN");
    let mut stream = node.subscribe(&ann, CHANGED, json!({ "id": "other" })).await;
    assert_eq!(stream.payload().await["errors"][0]["extensions"]["code"], "FORBIDDEN");
    node.stop().await;
}

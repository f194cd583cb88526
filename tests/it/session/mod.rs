//! Sessions: everybody on one provider; who is there; how well it goes.

mod ancestor;
mod chaos;
mod choice;
mod dice;
mod history;
mod plans;
mod presence;
mod providers;
mod quality;
mod recovery;
mod rules;
mod sql;
mod states;
mod streams;

use serde_json::{Value, json};
use sqlx::PgConnection;
use switchboard::{
    demo,
    platform::auth::{Role, token::Claims},
};

use crate::support::{
    app::{TestApp, token},
    client::Client,
};

const SELECT: &str = "mutation($input: SelectSessionProviderInput!) { selectSessionProvider(input: $input) {
    provider roomId selectedBy isNewSelection reason epoch session { sessionId activeProvider epoch version } } }";
const RECOVER: &str = "mutation($input: CoordinateProviderRecoveryInput!) { coordinateProviderRecovery(input: $input) {
    outcome failedProvider newProvider roomId affectedUsers initiatedBy recoveryReason epoch
    session { activeProvider epoch reconnectionInProgress recoveryFrom } } }";
const STATE: &str = "mutation($input: UpdateUserSessionStateInput!) { updateUserSessionState(input: $input) {
    user { userId userName connectionState currentProvider isAudioMuted isVideoOff reconnectAttempts deviceInfo joinedEpoch }
    session { epoch activeProvider version userCount reconnectionInProgress } } }";
const HEALTH: &str = "mutation($input: UpdateSessionHealthInput!) { updateSessionHealth(input: $input) {
    connectionStatus lastPing } }";
const PING: &str = "mutation($input: HeartbeatPingInput!) { heartbeatPing(input: $input) { pingTime } }";
const CHANGED: &str = "subscription($id: ID, $after: Cursor) { sessionChanged(sessionId: $id, after: $after) {
    operation cursor resync record { sessionId activeProvider epoch version endedAt reconnectionInProgress }
    changedUsers { userId connectionState reconnectAttempts joinedEpoch } } }";

/// A token of a participant of a session of the demo company.
fn participant(session: &str, user: &str) -> String {
    token(&Claims {
        role: Role::Participant,
        session_id: Some(session.to_owned()),
        ..Claims::service(demo::COMPANY_ID, user)
    })
}

/// A connection of an SQL caller of the demo company.
async fn caller(app: &TestApp) -> PgConnection {
    let mut connection = app.sql().await;
    sqlx::query("select set_config('switchboard.company_id', $1, false)")
        .bind(demo::COMPANY_ID.to_string())
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

/// The result of an SQL function, given as its call.
async fn result(connection: &mut PgConnection, call: &'static str) -> Value {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select to_jsonb({call})"))).fetch_one(connection).await.unwrap()
}

/// Variables of `SELECT`.
fn choice(session: &str, user: &str, provider: &str) -> Value {
    json!({ "input": { "sessionId": session, "userId": user, "provider": provider, "roomId": format!("room of {user}") } })
}

/// Chooses a provider as this user.
async fn select(client: &Client, session: &str, user: &str, provider: &str) -> Value {
    client.data(&participant(session, user), SELECT, choice(session, user, provider)).await
}

/// Reports this user's state.
async fn state(client: &Client, session: &str, user: &str, state: &str, provider: &str) -> Value {
    let input = json!({ "sessionId": session, "userId": user, "userName": user, "connectionState": state, "currentProvider": provider });
    client.data(&participant(session, user), STATE, json!({ "input": input })).await
}

/// Reports that a provider fails.
async fn recover(client: &Client, session: &str, user: &str, provider: &str, epoch: Option<i32>, kind: &str) -> Value {
    let input =
        json!({ "sessionId": session, "initiatedBy": user, "failedProvider": provider, "epoch": epoch, "kind": kind });
    client.data(&participant(session, user), RECOVER, json!({ "input": input })).await
}

/// Reports one sample of quality.
async fn sample(client: &Client, session: &str, user: &str, metrics: Value) -> Value {
    let input = json!({ "sessionId": session, "userId": user, "status": "CONNECTED", "qualityMetrics": metrics });
    client.data(&participant(session, user), HEALTH, json!({ "input": input })).await
}

/// Variables of `PING`.
fn ping(session: &str, user: &str) -> Value {
    json!({ "input": { "sessionId": session, "userId": user } })
}

/// The number of events of a session, by type.
async fn count_events(app: &TestApp, session: &str, event_type: &str) -> i64 {
    sqlx::query_scalar("select count(*) from event where subject_id = $1 and type = $2")
        .bind(session)
        .bind(event_type)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap()
}

/// Waits until servers have taken so many more turns at a duty.
async fn turns(app: &TestApp, duty: &str, count: usize) {
    let mut sql = app.sql().await;
    let mut last: Option<time::OffsetDateTime> = None;
    let mut seen = 0;
    while seen <= count {
        let ran_at = sqlx::query_scalar("select nullif(ran_at, '-infinity') from session_duty where duty = $1")
            .bind(duty)
            .fetch_one(&mut sql)
            .await
            .unwrap();
        if ran_at != last {
            seen += 1;
            last = ran_at;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

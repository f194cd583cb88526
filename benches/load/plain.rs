//! The limits: handlers with the server's SQL on the server's pool and nothing else. They have no GraphQL, no
//! authorization and no rules.
//!
//! | route | is the limit of |
//! | --- | --- |
//! | `GET /chat/{id}` | a chat by its id: one select |
//! | `POST /insert` | any insert: one row of `bench.chat` |
//! | `POST /race` | `createChat`: the statements of its transaction, a transaction for each request |
//! | `POST /race-quiet` | the same without the log and the timers |
//! | `POST /start/{id}` | `startChat`: the statements of its transaction |
//! | `GET /broadcast` | a subscription: one text made in advance, sent to every socket |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes},
    },
    http::StatusCode,
    routing::{get, post},
};
use clap::Parser;
use serde_json::{Value, json};
use sqlx::{
    FromRow, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgListener},
};
use switchboard::{
    demo,
    platform::{clock::new_id, config::DatabaseSettings, db},
};
use time::OffsetDateTime;
use tokio::sync::broadcast;
use uuid::Uuid;

/// A notification on this channel makes the broadcast send its text.
pub(crate) const CHANNEL: &str = "bench_broadcast";
/// Size of the text: that of a subscription's message about a chat.
const MESSAGE_BYTES: usize = 420;

type Response = std::result::Result<Json<Value>, (StatusCode, String)>;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Clone)]
struct Plain {
    pool: PgPool,
    contract_id: Uuid,
    messages: broadcast::Sender<Utf8Bytes>,
}

/// Serves until the process is killed.
pub(crate) async fn serve(url: &str) -> crate::Result<()> {
    let settings = Settings::parse_from(["plain"]).database;
    let options = db::connection_options(url.parse::<PgConnectOptions>()?, &settings);
    let (messages, _) = broadcast::channel(256);
    let mut listener = PgListener::connect_with(&PgPool::connect_with(options.clone()).await?).await?;
    listener.listen(CHANNEL).await?;
    let sender = messages.clone();
    tokio::spawn(async move {
        let message = Utf8Bytes::from(format!("\"UPDATE\"{}", "x".repeat(MESSAGE_BYTES)));
        while listener.recv().await.is_ok() {
            let _ = sender.send(message.clone());
        }
    });
    let plain = Plain {
        pool: db::pool(options, &settings, settings.database_connections),
        contract_id: demo::demo().contracts[0].id,
        messages,
    };
    let router = Router::new()
        .route("/chat/{id}", get(chat))
        .route("/insert", post(insert))
        .route("/race", post(race))
        .route("/race-quiet", post(race_quiet))
        .route("/start/{id}", post(start))
        .route("/broadcast", get(listen))
        .with_state(Arc::new(plain));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        }),
        router,
    )
    .await?)
}

#[derive(FromRow)]
struct Chat {
    id: Uuid,
    key: Uuid,
    status: String,
    missed: bool,
    headline: String,
    customer_name: String,
    version: i32,
    inserted_at: OffsetDateTime,
}

impl Chat {
    fn json(&self) -> Value {
        json!({
            "companyId": demo::COMPANY_ID, "id": self.id, "key": self.key, "websiteId": demo::WEBSITE_ID,
            "status": self.status, "missed": self.missed, "headline": self.headline,
            "customerName": self.customer_name, "version": self.version,
            "insertedAt": self.inserted_at.to_string(),
        })
    }
}

fn failed(error: sqlx::Error) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn chat(State(plain): State<Arc<Plain>>, Path(id): Path<Uuid>) -> Response {
    let chat: Chat = sqlx::query_as(
        "select id, key, status, missed, headline, customer_name, version, inserted_at from chat
         where company_id = $1 and id = $2",
    )
    .bind(demo::COMPANY_ID)
    .bind(id)
    .fetch_one(&plain.pool)
    .await
    .map_err(failed)?;
    Ok(Json(chat.json()))
}

/// The body of `/insert`, `/race` and `/race-quiet`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewChat {
    headline: String,
    customer_name: String,
    key: Uuid,
}

async fn insert(State(plain): State<Arc<Plain>>, Json(new): Json<NewChat>) -> Response {
    let chat: Chat = sqlx::query_as(
        "insert into bench.chat (company_id, id, key, website_id, contract_id, visitor, status, headline, customer_name)
         values ($1, $2, $3, $4, $5, 'plain', 'ACTIVE', $6, $7)
         returning id, key, status, missed, headline, customer_name, version, inserted_at",
    )
    .bind(demo::COMPANY_ID)
    .bind(new_id())
    .bind(new.key)
    .bind(demo::WEBSITE_ID)
    .bind(plain.contract_id)
    .bind(new.headline)
    .bind(new.customer_name)
    .fetch_one(&plain.pool)
    .await
    .map_err(failed)?;
    Ok(Json(chat.json()))
}

async fn race(State(plain): State<Arc<Plain>>, Json(new): Json<NewChat>) -> Response {
    create(&plain, new, true).await.map_err(failed)
}

async fn race_quiet(State(plain): State<Arc<Plain>>, Json(new): Json<NewChat>) -> Response {
    create(&plain, new, false).await.map_err(failed)
}

/// The statements of `createChat`, each sent on its own, as a service without batches would send them.
async fn create(plain: &Plain, new: NewChat, events: bool) -> sqlx::Result<Json<Value>> {
    let mut transaction = plain.pool.begin().await?;
    let connection = &mut *transaction;
    sqlx::query("select agent_id, website_id, miss_time from contract where company_id = $1 and id = $2 for key share")
        .bind(demo::COMPANY_ID)
        .bind(plain.contract_id)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "insert into chat_race (company_id, key, website_id, owner, state, expires_at, version)
         values ($1, $2, $3, 'plain', 'OFFLINE', switchboard.now() + interval '5 minutes', 0)
         on conflict (company_id, key) do nothing",
    )
    .bind(demo::COMPANY_ID)
    .bind(new.key)
    .bind(demo::WEBSITE_ID)
    .execute(&mut *connection)
    .await?;
    sqlx::query("select * from chat_race where company_id = $1 and key = $2 for no key update")
        .bind(demo::COMPANY_ID)
        .bind(new.key)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("select * from chat where company_id = $1 and key = $2")
        .bind(demo::COMPANY_ID)
        .bind(new.key)
        .fetch_all(&mut *connection)
        .await?;
    let chat: Chat = sqlx::query_as(
        "insert into chat (company_id, id, key, website_id, contract_id, visitor, status, headline, customer_name, miss_at)
         values ($1, $2, $3, $4, $5, 'plain', 'ACTIVE', $6, $7, switchboard.now() + interval '30 seconds')
         returning id, key, status, missed, headline, customer_name, version, inserted_at",
    )
    .bind(demo::COMPANY_ID)
    .bind(new_id())
    .bind(new.key)
    .bind(demo::WEBSITE_ID)
    .bind(plain.contract_id)
    .bind(new.headline)
    .bind(new.customer_name)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "update chat_race set state = 'WAITING', version = 1, updated_at = switchboard.now()
         where company_id = $1 and key = $2",
    )
    .bind(demo::COMPANY_ID)
    .bind(chat.key)
    .execute(&mut *connection)
    .await?;
    let record = chat.json();
    set_timers(connection, &chat).await?;
    if events {
        append(connection, &chat, &record).await?;
    }
    transaction.commit().await?;
    Ok(Json(record))
}

async fn set_timers(connection: &mut PgConnection, chat: &Chat) -> sqlx::Result<()> {
    sqlx::query(
        "insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
         values ($1, 'bench', $2, 'miss', switchboard.now() + interval '1 day', $4),
                ($1, 'bench', $3, 'expire', switchboard.now() + interval '1 day', $4)
         on conflict (company_id, subject_type, subject_id, purpose)
             do update set due_at = excluded.due_at, token = excluded.token, attempts = 0",
    )
    .bind(demo::COMPANY_ID)
    .bind(chat.id.to_string())
    .bind(chat.key.to_string())
    .bind(new_id())
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends two events, about the race and about the chat.
async fn append(connection: &mut PgConnection, chat: &Chat, record: &Value) -> sqlx::Result<()> {
    sqlx::query(
        "insert into event (company_id, subject_type, subject_id, version, type, actor, payload)
         values ($1, 'bench_race', $2, $3, 'RaceOpened', 'plain', $5::json),
                ($1, 'bench_chat', $4, $3, 'ChatOffered', 'plain', $5::json)",
    )
    .bind(demo::COMPANY_ID)
    .bind(chat.key.to_string())
    .bind(chat.version)
    .bind(chat.id.to_string())
    .bind(record.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn start(State(plain): State<Arc<Plain>>, Path(id): Path<Uuid>) -> Response {
    start_once(&plain, id).await.map_err(failed)
}

async fn start_once(plain: &Plain, id: Uuid) -> sqlx::Result<Json<Value>> {
    let key: Uuid = sqlx::query_scalar("select key from chat where company_id = $1 and id = $2")
        .bind(demo::COMPANY_ID)
        .bind(id)
        .fetch_one(&plain.pool)
        .await?;
    let mut transaction = plain.pool.begin().await?;
    let connection = &mut *transaction;
    for statement in [
        "select * from chat_race where company_id = $1 and key = $2 for no key update",
        "select * from chat where company_id = $1 and key = $2",
    ] {
        sqlx::query(statement).bind(demo::COMPANY_ID).bind(key).fetch_all(&mut *connection).await?;
    }
    let chat: Chat = sqlx::query_as(
        "update chat set status = 'STARTED', started_at = switchboard.now(), message_count = 1, version = version + 1
         where company_id = $1 and id = $2 and status = 'ACTIVE'
         returning id, key, status, missed, headline, customer_name, version, inserted_at",
    )
    .bind(demo::COMPANY_ID)
    .bind(id)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "update chat set status = 'FINISHED', close_reason = 'RESCINDED', finished_at = switchboard.now()
         where company_id = $1 and key = $2 and status = 'ACTIVE'",
    )
    .bind(demo::COMPANY_ID)
    .bind(key)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into chat_message (company_id, chat_id, id, number, text, author, is_agent, opening)
         values ($1, $2, $3, 1, $4, $5, false, true)",
    )
    .bind(demo::COMPANY_ID)
    .bind(id)
    .bind(new_id())
    .bind(&chat.headline)
    .bind(&chat.customer_name)
    .execute(&mut *connection)
    .await?;
    for statement in [
        "update chat_race set state = 'WON', winner_id = (select id from chat where company_id = $1 and key = $2
             and status = 'STARTED'), version = version + 1 where company_id = $1 and key = $2",
        "delete from timer where company_id = $1 and subject_type = 'chat' and subject_id = $2::uuid::text",
        "delete from timer where company_id = $1 and subject_type = 'chat_race' and subject_id = $2::uuid::text",
    ] {
        sqlx::query(statement).bind(demo::COMPANY_ID).bind(key).execute(&mut *connection).await?;
    }
    let record = chat.json();
    append(connection, &chat, &record).await?;
    transaction.commit().await?;
    Ok(Json(record))
}

async fn listen(State(plain): State<Arc<Plain>>, upgrade: WebSocketUpgrade) -> axum::response::Response {
    let mut messages = plain.messages.subscribe();
    drop(plain);
    let upgrade = upgrade.protocols(["graphql-transport-ws"]).read_buffer_size(4_096).write_buffer_size(0);
    upgrade.on_upgrade(move |mut socket| async move {
        while let Ok(text) = messages.recv().await {
            if socket.send(Message::Text(text)).await.is_err() {
                return;
            }
        }
    })
}

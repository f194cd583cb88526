//! Subscribers of `chatStatus`, and the records that its events carry.

use serde_json::{Value, json};
use sqlx::PgConnection;
use switchboard::demo;
use uuid::Uuid;

use crate::{Result, process::Server, socket::Socket};

const SUBSCRIPTION: &str = "subscription($id: UUID) { chatStatus(chatId: $id) \
     { operation record { id key status missed headline customerName version insertedAt } cursor } }";

/// Opens a subscription and reads up to READY.
pub(crate) async fn subscribe(server: &Server, token: &str, variables: Value) -> Result<Socket> {
    let mut socket = Socket::open(server.address, "/graphql").await?;
    let init = json!({ "type": "connection_init", "payload": { "authToken": token } });
    socket.send(&init.to_string()).await?;
    socket.until("connection_ack").await?;
    let payload = json!({ "query": SUBSCRIPTION, "variables": variables });
    socket.send(&json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string()).await?;
    socket.until("\"READY\"").await?;
    Ok(socket)
}

/// A chat's record as an event carries it.
pub(crate) async fn record_of(connection: &mut PgConnection, id: Uuid) -> Result<Value> {
    Ok(records_of(connection, &[id]).await?[id.to_string()].take())
}

/// Chats' records by id: the columns of the rows under the names that events use.
pub(crate) async fn records_of(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Value> {
    let rows: Vec<(Uuid, Value)> =
        sqlx::query_as("select id, to_jsonb(chat) from chat where company_id = $1 and id = any($2)")
            .bind(demo::COMPANY_ID)
            .bind(ids)
            .fetch_all(connection)
            .await?;
    let named = rows.into_iter().map(|(id, row)| {
        let Value::Object(row) = row else { return (id.to_string(), row) };
        let record = row.into_iter().map(|(name, value)| (camel_case(&name), value)).collect();
        (id.to_string(), Value::Object(record))
    });
    Ok(Value::Object(named.collect()))
}

/// `customer_name` becomes `customerName`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        camel = camel + &first.to_uppercase() + rest;
    }
    camel
}

//! Queries that change a chat without deciding its race. The race is locked.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    chat::race::{
        record::ChatRecord,
        sql::chats,
        state::{ChatStatus, CloseReason},
    },
    platform::error::Result,
};

/// Writes what the customer asks and who it is.
pub(super) async fn save_texts(
    connection: &mut PgConnection,
    chat: &ChatRecord,
    headline: &str,
    customer_name: &str,
) -> Result<ChatRecord> {
    let chat = chats!(
        "update chat
         set headline = $3, customer_name = $4, version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2
         returning",
        "",
        chat.company_id,
        chat.id,
        headline,
        customer_name
    );
    Ok(chat.fetch_one(connection).await?)
}

/// Flags an active chat whose time to be answered has passed; `None` if it has not, or the flag is set.
pub(super) async fn flag_if_due(connection: &mut PgConnection, chat: &ChatRecord) -> Result<Option<ChatRecord>> {
    let chat = chats!(
        "update chat
         set missed = true, version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2 and chat.status = 'ACTIVE' and not chat.missed
             and chat.miss_at <= switchboard.now()
         returning",
        "",
        chat.company_id,
        chat.id
    );
    Ok(chat.fetch_optional(connection).await?)
}

/// Writes the customer's rating.
pub(super) async fn save_rating(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    rating: i32,
) -> Result<ChatRecord> {
    let chat = chats!(
        "update chat
         set rating = $3, version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2
         returning",
        "",
        company_id,
        id,
        rating
    );
    Ok(chat.fetch_one(connection).await?)
}

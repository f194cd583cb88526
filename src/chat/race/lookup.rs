//! A chat by its id, for many readers at once: those that ask while a statement is under way share the next one. So a
//! busy server pays a round trip for many reads; a lone read goes out at once. Nothing is kept: a read begins after it
//! was asked for, and sees everything that was committed before.

use std::collections::HashMap;

use futures_util::FutureExt as _;
use sqlx::PgPool;
use uuid::Uuid;

use super::{ChatRecord, sql};
use crate::{
    chat::Chats,
    platform::{
        auth::Principal,
        batch::Batches,
        error::{Error, Result},
    },
};

/// The lane of each company.
pub(in crate::chat) type Lookups = Batches<Uuid, Uuid, Result<Option<ChatRecord>>>;

/// Reads of chats on this database.
pub(in crate::chat) fn lookups(pool: PgPool) -> Lookups {
    Batches::reads("chat", pool, |connection, company_id, ids| {
        async move {
            let chats = sql::find_chats(connection, company_id, ids).await?;
            let found: HashMap<_, _> = chats.into_iter().map(|chat| (chat.id, chat)).collect();
            Ok(ids.iter().map(|id| Some(Ok(found.get(id).cloned()))).collect())
        }
        .boxed()
    })
}

impl Chats {
    /// A chat of the company, whoever may see it.
    pub(super) async fn find(&self, company_id: Uuid, id: Uuid) -> Result<Option<ChatRecord>> {
        let found = self.lookups.submit(company_id, id).await;
        found.unwrap_or_else(|| Err(Error::internal("the statement that reads chats panicked")))
    }

    /// The race of a chat. Read without a lock: a chat never changes its race.
    pub(super) async fn key_of(&self, principal: &Principal, chat_id: Uuid) -> Result<Uuid> {
        let chat = self.find(principal.company_id, chat_id).await?;
        chat.map(|chat| chat.key).ok_or_else(|| Error::not_found("chat"))
    }
}

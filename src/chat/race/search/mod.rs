//! Finding chats: lists, and the one whose id a caller without a token knows.

mod sql;

use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    feed::{Own, own_chats},
    record::ChatRecord,
    state::ChatStatus,
};
use crate::{
    chat::{Chats, rights::Reader},
    platform::{
        auth::{Caller, Principal, Role},
        error::{Error, Result},
        graphql::page::{Page, Place},
    },
};

/// Which chats are wanted; what is absent matches all.
#[derive(Debug, Clone, Default)]
pub struct ChatSearch {
    /// That stand so.
    pub statuses: Option<Vec<ChatStatus>>,
    /// Of this contract.
    pub contract_id: Option<Uuid>,
    /// Of this website.
    pub website_id: Option<Uuid>,
}

/// The started chat of the newest open race among these.
pub(super) async fn newest_started(
    connection: &mut PgConnection,
    company_id: Uuid,
    own: Own<'_>,
) -> Result<Option<ChatRecord>> {
    sql::newest_started(connection, company_id, own).await
}

impl Chats {
    /// Those of the chats that the caller may see that pass, newest first.
    pub async fn list(
        &self,
        principal: &Arc<Principal>,
        search: &ChatSearch,
        after: Option<Place>,
        size: usize,
    ) -> Result<Page<ChatRecord>> {
        let sees_some = match principal.role {
            Role::Participant => false,
            Role::Agent => principal.agent_id.is_some(),
            Role::Consumer | Role::Service | Role::Admin => true,
        };
        if !sees_some {
            return Ok(Page { items: Vec::new(), behind: after.is_some(), ahead: false });
        }
        let reader = Reader::from(Arc::clone(principal));
        let mut connection = self.pool.acquire().await?;
        let place = after.as_ref().map(|place| (place.at, place.id));
        let own = own_chats(&reader);
        let found = sql::page(&mut connection, principal.company_id, search, own, place, size + 1).await?;
        Ok(Page::forward(found, size, after.is_some()))
    }

    /// A chat and as whom the caller reads it: with a credential by its rights; without one, knowing the id is enough.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a credential that is not valid.
    pub async fn chat_of_caller(&self, caller: &Caller, id: Uuid) -> Result<Option<(Reader, ChatRecord)>> {
        let (reader, chat) = match caller {
            Caller::Anonymous => {
                let mut connection = self.pool.acquire().await?;
                let Some(chat) = sql::find_anywhere(&mut connection, id).await? else { return Ok(None) };
                (Reader::OfChat { company_id: chat.company_id, chat_id: id }, chat)
            }
            caller => {
                let principal = caller.principal()?;
                let Some(chat) = self.find(principal.company_id, id).await? else { return Ok(None) };
                (Reader::Known(Arc::clone(principal)), chat)
            }
        };
        Ok(reader.sees_chat(&chat).then_some((reader, chat)))
    }

    /// As [`Chats::chat_of_caller`], for what cannot do without the chat.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such chat that the caller may see.
    pub async fn reader_of_chat(&self, caller: &Caller, id: Uuid) -> Result<(Reader, ChatRecord)> {
        self.chat_of_caller(caller, id).await?.ok_or_else(|| Error::not_found("chat"))
    }
}

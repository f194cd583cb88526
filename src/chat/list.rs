//! Finding chats and races: by id, by key, in lists, and the chat whose id a caller without a token knows.

use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use super::{
    Chats,
    filter::{ChatSearch, own_chats},
    record::{ChatRecord, Race},
    rights::{self, Viewer},
    sql,
};
use crate::platform::{
    auth::{Caller, Principal, Role},
    error::{Error, Result},
    graphql::page::{Page, Place},
};

impl Chats {
    /// The chat, if the caller may see it.
    pub async fn chat(&self, principal: &Principal, id: Uuid) -> Result<Option<ChatRecord>> {
        let chat = self.loaders.chat(principal.company_id, id).await?;
        Ok(chat.filter(|chat| rights::sees_chat(principal, chat)))
    }

    /// The race, if the caller may see it, with those of its chats that it may see.
    pub async fn race(&self, principal: &Principal, key: Uuid) -> Result<Option<Race>> {
        let mut connection = self.work.pool().acquire().await?;
        let Some(record) = sql::find_race(&mut connection, principal.company_id, key).await? else { return Ok(None) };
        let chats = sql::chats_of_races(&mut connection, principal.company_id, &[key]).await?;
        let mut race = Race::new(record, chats);
        race.chats.retain(|chat| rights::sees_chat(principal, chat));
        Ok(rights::sees_race(principal, &race.record).then_some(race))
    }

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
        let viewer = Viewer::from(Arc::clone(principal));
        let mut connection = self.work.pool().acquire().await?;
        let place = after.as_ref().map(|place| (place.at, place.id));
        let own = own_chats(&viewer);
        let found = sql::list_chats(&mut connection, principal.company_id, search, own, place, size + 1).await?;
        Ok(Page::forward(found, size, after.is_some()))
    }

    /// A chat and as whom the caller reads it: with a credential by its rights; without one, knowing the id is enough.
    /// Ids that are not known are then counted and limited by the address, so that nobody can try many.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a credential that is not valid; `RATE_LIMITED` after too many unknown ids without one.
    pub async fn chat_of_caller(
        &self,
        caller: &Caller,
        address: Option<IpNet>,
        id: Uuid,
    ) -> Result<Option<(Viewer, ChatRecord)>> {
        let (viewer, chat) = match caller {
            Caller::Anonymous => {
                let guess = self.guesses.begin(address.map(|address| address.addr()))?;
                let found = self.find_chat_by_id(id).await;
                if let Ok(None) = found {
                    metrics::counter!("switchboard_chat_unknown_ids_total").increment(1);
                } else {
                    guess.right();
                }
                let Some(chat) = found? else { return Ok(None) };
                (Viewer::HoldsChatId { company_id: chat.company_id, chat_id: id }, chat)
            }
            caller => {
                let principal = caller.principal()?;
                let Some(chat) = self.loaders.chat(principal.company_id, id).await? else { return Ok(None) };
                (Viewer::Known(Arc::clone(principal)), chat)
            }
        };
        Ok(viewer.sees_chat(&chat).then_some((viewer, chat)))
    }

    async fn find_chat_by_id(&self, id: Uuid) -> Result<Option<ChatRecord>> {
        let mut connection = self.work.pool().acquire().await?;
        sql::find_chat_by_id(&mut connection, id).await
    }

    /// As [`Chats::chat_of_caller`], for what cannot do without the chat.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such chat that the caller may see.
    pub async fn viewer_of_chat(
        &self,
        caller: &Caller,
        address: Option<IpNet>,
        id: Uuid,
    ) -> Result<(Viewer, ChatRecord)> {
        self.chat_of_caller(caller, address, id).await?.ok_or_else(|| Error::not_found("chat"))
    }
}

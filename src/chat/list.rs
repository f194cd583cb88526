//! Finding chats and races: by id, by key, in lists, and the chat whose id a caller without a token knows.

use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use super::{
    Chats,
    filter::{ChatSearch, own_chats},
    loaders::ChatList,
    record::{ChatRecord, Race},
    rights::{self, Viewer},
};
use crate::platform::{
    auth::{Caller, Principal, Role},
    batch::Reading,
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
        let Some(record) = self.loaders.race(principal.company_id, key).await? else { return Ok(None) };
        let chats = self.loaders.chats_of_race(principal.company_id, key).await?;
        let mut race = Race::new(record, chats.into_iter().map(Arc::unwrap_or_clone).collect());
        race.chats.retain(|chat| rights::sees_chat(principal, chat));
        Ok(rights::sees_race(principal, &race.record).then_some(race))
    }

    /// A page of the chats that the caller may see and that match `search`, newest first.
    pub async fn list(
        &self,
        reading: &Reading,
        principal: &Arc<Principal>,
        search: ChatSearch,
        after: Option<Place>,
        size: usize,
    ) -> Result<Page<Arc<ChatRecord>>> {
        let sees_some = match principal.role {
            Role::Participant => false,
            Role::Agent => principal.agent_id.is_some(),
            Role::Consumer | Role::Service | Role::Admin => true,
        };
        if !sees_some {
            return Ok(Page { items: Vec::new(), behind: after.is_some(), ahead: false });
        }
        let own = own_chats(&Viewer::from(Arc::clone(principal)));
        let list = ChatList { company_id: principal.company_id, own, search, after, limit: size + 1 };
        let found = self.loaders.chats(reading, list).await?;
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
                let found = self.loaders.chat_by_id(id).await;
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

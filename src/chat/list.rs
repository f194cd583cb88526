//! Finding chats and races: by id, by key, in lists, and the chat whose id a caller without a token knows.

use std::{cmp::Reverse, sync::Arc};

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
    auth::{Caller, Credential, Principal, Role, Visit},
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
        let viewer = Viewer::from(Arc::clone(principal));
        let own = own_chats(&viewer);
        let earlier = own.of_earlier(&viewer);
        let list = |own, search| ChatList { company_id: principal.company_id, own, search, after, limit: size + 1 };
        let mut found = self.loaders.chats(reading, list(own, search.clone())).await?;
        if let Some(own) = earlier {
            found.extend(self.loaders.chats(reading, list(own, search)).await?);
            found.sort_by_key(|chat| Reverse((chat.inserted_at, chat.id)));
            found.truncate(size + 1);
        }
        Ok(Page::forward(found, size, after.is_some()))
    }

    /// A chat and as whom the caller reads it: with a credential by its rights; without one, knowing the id is enough.
    /// Ids that are not known are then counted and limited by the address, so that nobody can try many.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a credential that is not valid; `RATE_LIMITED` after too many unknown ids without one;
    /// `FORBIDDEN` for a page whose origin the chat's website does not list.
    pub async fn chat_of_caller(
        &self,
        caller: &Caller,
        address: Option<IpNet>,
        visit: &Visit,
        id: Uuid,
    ) -> Result<Option<(Viewer, ChatRecord)>> {
        // A browser that names itself by a key may also know the id of a chat from before.
        if let Caller::Known(principal) = caller
            && principal.credential == Credential::VisitorKey
        {
            let own = self.loaders.chat(principal.company_id, id).await?;
            if let Some(own) = own.filter(|chat| rights::sees_chat(principal, chat)) {
                return Ok(Some((Viewer::Known(Arc::clone(principal)), own)));
            }
            return Box::pin(self.chat_of_caller(&Caller::Anonymous, address, visit, id)).await;
        }
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
                self.admit_page(visit, chat.company_id, chat.website_id).await?;
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
        visit: &Visit,
        id: Uuid,
    ) -> Result<(Viewer, ChatRecord)> {
        self.chat_of_caller(caller, address, visit, id).await?.ok_or_else(|| Error::not_found("chat"))
    }

    /// As whom the caller acts in this chat: with a credential as itself; without one, where widgets are allowed, as the
    /// customer of the chat whose id it knows.
    ///
    /// # Errors
    /// Those of [`Chats::viewer_of_chat`]; `UNAUTHENTICATED` without a credential where widgets are not allowed.
    pub(super) async fn customer_of_chat(
        &self,
        caller: &Caller,
        address: Option<IpNet>,
        visit: &Visit,
        id: Uuid,
    ) -> Result<Arc<Principal>> {
        match caller {
            Caller::Known(principal) if principal.credential != Credential::VisitorKey => Ok(Arc::clone(principal)),
            Caller::Refused(_) | Caller::Unavailable(_) => caller.principal().cloned(),
            Caller::Anonymous if !self.settings.anonymous_widgets => caller.principal().cloned(),
            Caller::Known(_) | Caller::Anonymous => {
                let (viewer, chat) = self.viewer_of_chat(caller, address, visit, id).await?;
                Ok(match viewer {
                    Viewer::Known(principal) => principal,
                    _ if self.settings.anonymous_widgets => {
                        Arc::new(Principal::visitor(chat.company_id, chat.website_id, chat.visitor))
                    }
                    _ => return Err(Error::not_found("chat")),
                })
            }
        }
    }
}

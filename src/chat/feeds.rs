//! What streams of chats and races show. Everything is decided from the event's own record, as it is now and as it
//! was before, so that an offer that leaves a filter, or goes to another agent, is told as DELETE.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    CHAT, RACE,
    filter::{ChatFilter, OwnChats, own_chats},
    record::{ChatRecord, Race, RaceRecord},
    rights::{self, Viewer},
    rules::{ChatStatus, CloseReason},
    sql,
};
use crate::platform::{
    auth::{Principal, Role},
    error::{Error, Result},
    event::{Event, Interest, Subject, hub::Scope},
    subscription::{ChangeOperation, Feed, Versioned},
};

/// Most finished chats in a snapshot's place, together with the unfinished ones: an inbox is for what is going on, and a
/// thousand rows are about half a megabyte on the wire. Older ones come by the query `chats`.
const FINISHED_IN_SNAPSHOT: usize = 1_000;

/// What a change means to a reader who saw the record before, or not, and sees it now, or not.
pub(super) fn operation(before: bool, now: bool) -> Option<ChangeOperation> {
    match (before, now) {
        (false, false) => None,
        (false, true) => Some(ChangeOperation::Insert),
        (true, true) => Some(ChangeOperation::Update),
        (true, false) => Some(ChangeOperation::Delete),
    }
}

/// Where a stream of the reader's chats listens: no wider than what it may see.
fn own_scope(viewer: &Viewer) -> Option<Scope> {
    match viewer {
        Viewer::Known(principal) => match principal.role {
            Role::Consumer => Some(Scope::Field("visitor", principal.subject.clone())),
            Role::Agent => principal.agent_id.map(|agent| Scope::Field("agentId", agent.to_string())),
            Role::Participant => None,
            Role::Service | Role::Admin => Some(Scope::All),
        },
        Viewer::HoldsChatId { chat_id, .. } => Some(Scope::Subject(chat_id.to_string())),
        Viewer::FromAddress { address, .. } => Some(Scope::Field("createdFrom", address.to_string())),
        Viewer::Public { .. } => None,
    }
}

/// The stream `chatStatus`, and `chat`.
#[derive(Debug, Clone)]
pub struct ChatFeed {
    /// Decides which chats are sent.
    pub viewer: Viewer,
    /// Sends the chats that match.
    pub filter: ChatFilter,
}

impl ChatFeed {
    fn shows(&self, chat: &ChatRecord) -> bool {
        self.viewer.sees_chat(chat) && self.filter.admits(chat)
    }

    /// Every unfinished chat that passes the filter, and the newest finished ones up to a limit in all, oldest first. Two
    /// statements: to be called in a repeatable-read transaction.
    async fn present(&self, connection: &mut PgConnection) -> Result<Vec<ChatRecord>> {
        let (company_id, own) = (self.company_id(), own_chats(&self.viewer));
        let mut found = Vec::new();
        if self.filter.status != Some(ChatStatus::Finished) {
            found = sql::unfinished_chats(connection, company_id, &self.filter, &own).await?;
        }
        if matches!(self.filter.status, None | Some(ChatStatus::Finished)) && found.len() < FINISHED_IN_SNAPSHOT {
            let rest = FINISHED_IN_SNAPSHOT - found.len();
            found.extend(sql::finished_chats(connection, company_id, &self.filter, &own, rest).await?);
        }
        found.sort_unstable_by_key(|chat| (chat.inserted_at, chat.id));
        Ok(found)
    }
}

impl Feed for ChatFeed {
    type Record = Arc<ChatRecord>;

    fn company_id(&self) -> Uuid {
        self.viewer.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        let ChatFilter { chat_id, key, contract_id, .. } = &self.filter;
        let scope = match (chat_id, key, contract_id) {
            (Some(id), ..) => Some(Scope::Subject(id.to_string())),
            (_, Some(key), _) => Some(Scope::Field("key", key.to_string())),
            (.., Some(contract_id)) => Some(Scope::Field("contractId", contract_id.to_string())),
            _ => None,
        };
        // A participant listens to nothing, whatever it names.
        let own = own_scope(&self.viewer);
        let scope = own.map(|own| scope.unwrap_or(own));
        scope.map(|scope| Interest { company_id: self.company_id(), subject_type: CHAT, scope }).into_iter().collect()
    }

    fn subject(&self) -> Option<Subject> {
        // With any other filter the chat may come and go, so its version alone does not say what was sent.
        match self.filter {
            ChatFilter { chat_id: Some(id), key: None, contract_id: None, status: None } => {
                Some(Subject::new(CHAT, id))
            }
            _ => None,
        }
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let chats = if let Some(id) = self.filter.chat_id {
                let chat = sql::find_chat(connection, self.company_id(), id).await?;
                let chat = chat.filter(|chat| self.viewer.sees_chat(chat));
                vec![chat.ok_or_else(|| Error::not_found("chat"))?]
            } else {
                match own_scope(&self.viewer) {
                    Some(_) => self.present(connection).await?,
                    None => Vec::new(),
                }
            };
            let shown = chats.into_iter().filter(|chat| self.shows(chat));
            Ok(shown.map(|chat| Versioned { version: chat.version, record: Arc::new(chat) }).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != CHAT {
            return Ok(None);
        }
        let chat = event.record::<ChatRecord>()?;
        let before = event.before::<ChatRecord>()?.is_some_and(|before| self.shows(&before));
        Ok(operation(before, self.shows(&chat)).map(|operation| (operation, chat)))
    }
}

/// The stream `chatChanged` of widgets in the field: changes only. A widget subscribes after it has asked, so a visitor
/// is first told of the chat that its newest open race has come to. Offers that another agent's win withdrew are not
/// for a visitor: a widget would take one of them for the end of its conversation.
#[derive(Debug, Clone)]
pub struct WidgetFeed(pub ChatFeed);

impl WidgetFeed {
    fn omits(&self, chat: &ChatRecord) -> bool {
        self.0.viewer.is_visitor() && chat.close_reason == Some(CloseReason::Rescinded)
    }
}

impl Feed for WidgetFeed {
    type Record = Arc<ChatRecord>;

    fn company_id(&self) -> Uuid {
        self.0.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        self.0.interests()
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let mut chats = self.0.snapshot(connection).await?;
            chats.retain(|chat| !self.omits(&chat.record));
            Ok(chats)
        })
    }

    fn first<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async move {
            if !self.0.viewer.is_visitor() {
                return Ok(Vec::new());
            }
            let company_id = self.company_id();
            let started = match own_chats(&self.0.viewer) {
                OwnChats { visitor: Some(visitor), website_id: Some(website_id), .. } => {
                    sql::newest_started_chat_of_visitor(connection, company_id, &visitor, website_id).await?
                }
                OwnChats { created_from: Some(address), .. } => {
                    sql::newest_started_chat_from_address(connection, company_id, address).await?
                }
                OwnChats { .. } => None,
            };
            Ok(started.into_iter().filter(|chat| self.0.shows(chat)).map(Arc::new).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        Ok(self.0.project(event)?.filter(|(_, chat)| !self.omits(chat)))
    }
}

/// The stream `chatRace`.
#[derive(Debug, Clone)]
pub struct RaceFeed {
    /// Decides whether the race is sent.
    pub principal: Arc<Principal>,
    /// The key of the race that is sent.
    pub key: Uuid,
}

impl Feed for RaceFeed {
    type Record = Arc<RaceRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.key.to_string());
        vec![Interest { company_id: self.principal.company_id, subject_type: RACE, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject::new(RACE, self.key))
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let company_id = self.principal.company_id;
            let unknown = || Error::not_found("race");
            let record = sql::find_races(connection, company_id, &[self.key]).await?.pop().ok_or_else(unknown)?;
            let race = Race::new(record, sql::chats_of_races(connection, company_id, &[self.key]).await?);
            if !rights::sees_race(&self.principal, &race.record) {
                return Err(unknown());
            }
            Ok(vec![Versioned { version: race.record.version, record: Arc::new(race.record) }])
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != RACE || event.subject_id != self.key.to_string() {
            return Ok(None);
        }
        let race = event.record::<RaceRecord>()?;
        let before = event.before::<RaceRecord>()?;
        let before = before.is_some_and(|before| rights::sees_race(&self.principal, &before));
        let now = rights::sees_race(&self.principal, &race);
        Ok(operation(before, now).map(|operation| (operation, race)))
    }
}

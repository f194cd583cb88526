//! What streams of chats and races show. Everything is decided from the event's own record, as it is now and as it
//! was before, so that an offer that leaves a filter, or goes to another agent, is told as DELETE.

mod sql;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Race, RaceRecord},
    search,
    sql::{chats_of_race, find_chat, find_race},
    state::{ChatStatus, CloseReason},
};
use crate::{
    chat::{
        CHAT, RACE,
        rights::{self, Reader},
    },
    platform::{
        auth::{Principal, Role},
        error::{Error, Result},
        event::{Event, Interest, Subject, hub::Scope},
        subscription::{ChangeOperation, Feed, Versioned},
    },
};

/// Which chats a stream carries; what is absent matches all, what is given combines.
#[derive(Debug, Clone, Default)]
pub struct ChatFilter {
    /// The one.
    pub chat_id: Option<Uuid>,
    /// Of this race.
    pub key: Option<Uuid>,
    /// Of this contract.
    pub contract_id: Option<Uuid>,
    /// That stand so.
    pub status: Option<ChatStatus>,
}

impl ChatFilter {
    /// True if `chat` passes.
    pub fn admits(&self, chat: &ChatRecord) -> bool {
        self.chat_id.is_none_or(|id| id == chat.id)
            && self.key.is_none_or(|key| key == chat.key)
            && self.contract_id.is_none_or(|contract| contract == chat.contract_id)
            && self.status.is_none_or(|status| status == chat.status)
    }
}

/// What a change means to a reader who saw the record before, or not, and sees it now, or not.
pub(in crate::chat) fn operation(before: bool, now: bool) -> Option<ChangeOperation> {
    match (before, now) {
        (false, false) => None,
        (false, true) => Some(ChangeOperation::Insert),
        (true, true) => Some(ChangeOperation::Update),
        (true, false) => Some(ChangeOperation::Delete),
    }
}

/// Where a stream of the reader's chats listens: no wider than what it may see.
fn own_scope(reader: &Reader) -> Option<Scope> {
    match reader {
        Reader::Known(principal) => match principal.role {
            Role::Consumer => Some(Scope::Field("visitor", principal.subject.clone())),
            Role::Agent => principal.agent_id.map(|agent| Scope::Field("agentId", agent.to_string())),
            Role::Participant => None,
            Role::Service | Role::Admin => Some(Scope::All),
        },
        Reader::OfChat { chat_id, .. } => Some(Scope::Subject(chat_id.to_string())),
        Reader::At { address, .. } => Some(Scope::Field("createdFrom", address.to_string())),
        Reader::Public { .. } => None,
    }
}

/// To whose chats a reader's rights narrow a list.
pub(super) fn own_chats(reader: &Reader) -> Own<'_> {
    match reader {
        Reader::Known(principal) => match principal.role {
            Role::Consumer => {
                Own { visitor: Some(&principal.subject), website_id: principal.website_id, ..Own::default() }
            }
            Role::Agent => Own { agent_id: principal.agent_id, ..Own::default() },
            Role::Participant | Role::Service | Role::Admin => Own::default(),
        },
        Reader::At { address, .. } => Own { created_from: Some(*address), ..Own::default() },
        Reader::OfChat { .. } | Reader::Public { .. } => Own::default(),
    }
}

/// Whose chats; what is absent matches all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own<'a> {
    /// Of this visitor.
    pub(super) visitor: Option<&'a str>,
    /// Of this website.
    pub(super) website_id: Option<Uuid>,
    /// Of this agent.
    pub(super) agent_id: Option<Uuid>,
    /// Asked for from this address.
    pub(super) created_from: Option<IpNet>,
}

/// The stream `chatStatus`, and `chat`.
#[derive(Debug, Clone)]
pub struct ChatFeed {
    /// Who reads.
    pub reader: Reader,
    /// What it asked for.
    pub filter: ChatFilter,
}

impl ChatFeed {
    fn shows(&self, chat: &ChatRecord) -> bool {
        self.reader.sees_chat(chat) && self.filter.admits(chat)
    }
}

impl Feed for ChatFeed {
    type Record = Arc<ChatRecord>;

    fn company_id(&self) -> Uuid {
        self.reader.company_id()
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
        let own = own_scope(&self.reader);
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
                let chat = find_chat(connection, self.company_id(), id).await?;
                let chat = chat.filter(|chat| self.reader.sees_chat(chat));
                vec![chat.ok_or_else(|| Error::not_found("chat"))?]
            } else {
                let Own { visitor, website_id, agent_id, .. } = own_chats(&self.reader);
                let own = (visitor, website_id, agent_id);
                let most = sql::FINISHED_IN_SNAPSHOT;
                match own_scope(&self.reader) {
                    Some(_) => sql::snapshot(connection, self.company_id(), &self.filter, own, most).await?,
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
        self.0.reader.is_visitor() && chat.close_reason == Some(CloseReason::Rescinded)
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
            if !self.0.reader.is_visitor() {
                return Ok(Vec::new());
            }
            let own = own_chats(&self.0.reader);
            let started = search::newest_started(connection, self.company_id(), own).await?;
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
    /// Who reads.
    pub principal: Arc<Principal>,
    /// Which race.
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
            let record = find_race(connection, company_id, self.key).await?.ok_or_else(unknown)?;
            let race = Race::new(record, chats_of_race(connection, company_id, self.key).await?);
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

//! What streams of chats and races show. Everything is decided from the event's own record, as it is after the event and as
//! it was before, so that an offer that leaves a filter, or goes to another agent, is a DELETE.

use std::{sync::Arc, time::Duration};

use async_graphql::Context;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    CHAT, Chats, RACE,
    filter::{ChatFilter, own_chats},
    record::{ChatRecord, Race, RaceRecord},
    rights::{self, Viewer},
    rules::{ChatStatus, CloseReason},
    sql,
};
use crate::platform::{
    auth::{Principal, Role},
    error::{Error, Result},
    event::{Event, Interest, Subject, hub::Scope},
    graphql::{audience::Audience, source::ShownFeed},
    subscription::{ChangeOperation, Feed, Listing, Loaded, Newest, Versioned, project},
};

/// Most finished chats in a snapshot's place, together with the unfinished ones: an inbox is for what is going on, and a
/// thousand rows are about half a megabyte on the wire. Older ones come by the query `chats`.
const FINISHED_IN_SNAPSHOT: usize = 1_000;

/// True if `viewer` may see the chat as it is now.
pub(super) async fn sees_chat_now(viewer: &Viewer, context: &Context<'_>, chat_id: Uuid) -> Result<bool> {
    let now = context.data_unchecked::<Chats>().loaders().chat(viewer.company_id(), chat_id).await?;
    Ok(now.is_some_and(|now| viewer.sees_chat(&now)))
}

/// Where a stream of the reader's chats listens: no wider than what it may see.
fn own_scopes(viewer: &Viewer) -> Vec<Scope> {
    match viewer {
        Viewer::Known(principal) => match principal.role {
            Role::Consumer => {
                let names = [Some(&principal.subject), principal.earlier.as_ref()];
                names.into_iter().flatten().map(|name| Scope::Field("visitor", name.clone())).collect()
            }
            Role::Agent => {
                principal.agent_id.map(|agent| Scope::Field("agentId", agent.to_string())).into_iter().collect()
            }
            Role::Participant => Vec::new(),
            Role::Service | Role::Admin => vec![Scope::All],
        },
        Viewer::HoldsChatId { chat_id, .. } => vec![Scope::Subject(chat_id.to_string())],
        Viewer::PinnedTo { key, .. } => vec![Scope::Field("key", key.to_string())],
        Viewer::Public { .. } => Vec::new(),
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

    /// The chat that the stream is about, if it is about one.
    fn chat_id(&self) -> Option<Uuid> {
        match (&self.viewer, self.filter.chat_id) {
            (Viewer::HoldsChatId { chat_id, .. }, None) => Some(*chat_id),
            (_, chat_id) => chat_id,
        }
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
        let own = own_scopes(&self.viewer);
        let scopes = match scope {
            Some(scope) if !own.is_empty() => vec![scope],
            _ => own,
        };
        let interest = |scope| Interest { company_id: self.company_id(), subject_type: CHAT, scope };
        scopes.into_iter().map(interest).collect()
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
            let Some(id) = self.chat_id() else { return Ok(Vec::new()) };
            let chat = sql::find_chat(connection, self.company_id(), id).await?;
            let chat = chat.filter(|chat| self.viewer.sees_chat(chat)).ok_or_else(|| Error::not_found("chat"))?;
            let shown = Some(chat).filter(|chat| self.filter.admits(chat));
            Ok(shown.into_iter().map(|chat| Versioned { version: chat.version, record: Arc::new(chat) }).collect())
        })
    }

    /// An inbox: every unfinished chat that passes the filter, and the newest finished ones up to a limit in all, oldest
    /// first.
    fn listing<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        Box::pin(async move {
            if self.chat_id().is_some() {
                return Ok(None);
            }
            let mut rows = Vec::new();
            if !own_scopes(&self.viewer).is_empty() {
                let own = own_chats(&self.viewer);
                for own in [own.of_earlier(&self.viewer), Some(own)].into_iter().flatten() {
                    let limit = FINISHED_IN_SNAPSHOT;
                    rows.extend(sql::listed_chats(connection, self.company_id(), &self.filter, &own, limit).await?);
                }
            }
            Ok(Some(Listing { subject_type: CHAT, rows }))
        })
    }

    fn load<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Self::Record>>>> {
        Box::pin(async move {
            let chats = sql::find_chats(connection, self.company_id(), ids).await?;
            let loaded = chats.into_iter().map(|chat| Loaded {
                id: chat.id,
                version: chat.version,
                record: self.shows(&chat).then(|| Arc::new(chat)),
            });
            Ok(loaded.collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != CHAT {
            return Ok(None);
        }
        let shown = |chat: &Arc<ChatRecord>| self.viewer.sees_chat(chat).then(|| Arc::clone(chat));
        project(event, shown, |chat| self.filter.admits(chat))
    }
}

impl ShownFeed for ChatFeed {
    fn audience(&self) -> Audience {
        self.viewer.audience()
    }

    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(sees_chat_now(&self.viewer, context, record.id))
    }
}

impl ShownFeed for Newest<ChatFeed> {
    fn audience(&self) -> Audience {
        self.0.audience()
    }

    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        self.0.sees_now(context, record)
    }
}

/// How long a chat's end is told to a stream that begins after it. A widget opens its stream for a chat a moment after it was
/// told of the start, and would never hear of an end between the two.
const ENDED_LATELY: Duration = Duration::from_mins(2);

/// The stream `chatChanged` of widgets in the field: changes only. A widget subscribes after it has asked, so a visitor
/// is first told of the chat that its newest open race has come to, or of that chat's end. Offers that another agent's win withdrew are not
/// for a visitor: a widget would take one of them for the end of its conversation.
#[derive(Debug, Clone)]
pub struct WidgetFeed(
    pub ChatFeed,
    /// Chats that another feed of the same stream shows.
    pub Vec<Uuid>,
);

impl WidgetFeed {
    fn omits(&self, chat: &ChatRecord) -> bool {
        self.1.contains(&chat.id) || (self.0.viewer.is_visitor() && chat.close_reason == Some(CloseReason::Rescinded))
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

    fn listing<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        self.0.listing(connection)
    }

    fn load<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Self::Record>>>> {
        Box::pin(async move {
            let mut chats = self.0.load(connection, ids).await?;
            for chat in &mut chats {
                chat.record = chat.record.take().filter(|chat| !self.omits(chat));
            }
            Ok(chats)
        })
    }

    fn first<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async move {
            if !self.0.viewer.is_visitor() {
                return Ok(Vec::new());
            }
            let company_id = self.company_id();
            let started = match &self.0.viewer {
                Viewer::Known(principal) => match principal.website_id {
                    Some(website_id) => {
                        let names = [Some(&principal.subject), principal.earlier.as_ref()];
                        let names: Vec<String> = names.into_iter().flatten().cloned().collect();
                        match sql::newest_started_chat_of_visitor(connection, company_id, &names, website_id).await? {
                            // A widget that waits for an answer names the contract: to it an earlier chat is nothing.
                            None if self.0.filter.contract_id.is_none() => {
                                let lately = ENDED_LATELY;
                                sql::newest_ended_chat_of_visitor(connection, company_id, &names, website_id, lately)
                                    .await?
                            }
                            started => started,
                        }
                    }
                    None => None,
                },
                Viewer::PinnedTo { key, .. } => {
                    let chats = sql::chats_of_races(connection, company_id, &[*key]).await?;
                    chats.into_iter().find(|chat| chat.status == ChatStatus::Started)
                }
                Viewer::HoldsChatId { chat_id, .. } if self.0.filter.contract_id.is_none() => {
                    let now = sql::now(connection).await?;
                    let chat = sql::find_chat(connection, company_id, *chat_id).await?;
                    chat.filter(|chat| chat.finished_at.is_some_and(|ended| ended + ENDED_LATELY > now))
                }
                Viewer::HoldsChatId { .. } | Viewer::Public { .. } => None,
            };
            Ok(started.into_iter().filter(|chat| self.0.shows(chat) && !self.omits(chat)).map(Arc::new).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        Ok(self.0.project(event)?.filter(|(_, chat)| !self.omits(chat)))
    }
}

impl ShownFeed for WidgetFeed {
    fn audience(&self) -> Audience {
        self.0.audience()
    }

    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        self.0.sees_now(context, record)
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
        let shown = |race: &Arc<RaceRecord>| rights::sees_race(&self.principal, race).then(|| Arc::clone(race));
        project(event, shown, |_| true)
    }
}

impl ShownFeed for RaceFeed {
    fn audience(&self) -> Audience {
        Viewer::Known(Arc::clone(&self.principal)).audience()
    }

    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let loaders = context.data_unchecked::<Chats>().loaders();
            let chats = loaders.chats_of_race(record.company_id, record.key).await?;
            let chats = chats.iter().map(|chat| ChatRecord::clone(chat)).collect();
            // Of the race only its agents may change who sees it, and they are those of its chats.
            Ok(rights::sees_race(&self.principal, &Race::new(RaceRecord::clone(record), chats).record))
        })
    }
}

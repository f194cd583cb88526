//! The feed of messages.

use std::sync::Arc;

use async_graphql::Context;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MOST, MessageRecord, sql};
use crate::{
    chat::{MESSAGES, feeds, record::ChatRecord, rights::Viewer, sql as chat_sql},
    platform::{
        error::{Error, Result},
        event::{Event, Interest, Subject, hub::Scope},
        graphql::{audience::Audience, source::ShownFeed},
        subscription::{ChangeOperation, Feed, Listing, Loaded, Versioned, project},
    },
};

/// The feed of the messages of one chat.
#[derive(Debug, Clone)]
pub struct MessageFeed {
    /// Decides which messages are sent.
    pub viewer: Viewer,
    /// The chat whose messages are sent.
    pub chat_id: Uuid,
}

impl MessageFeed {
    async fn chat(&self, connection: &mut PgConnection) -> Result<ChatRecord> {
        let chat = chat_sql::find_chat(connection, self.viewer.company_id(), self.chat_id).await?;
        chat.filter(|chat| self.viewer.sees_chat(chat)).ok_or_else(|| Error::not_found("chat"))
    }
}

impl Feed for MessageFeed {
    type Record = Arc<MessageRecord>;

    fn company_id(&self) -> Uuid {
        self.viewer.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.chat_id.to_string());
        vec![Interest { company_id: self.company_id(), subject_type: MESSAGES, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject::new(MESSAGES, self.chat_id))
    }

    /// The messages come in pages, see `listing`.
    fn snapshot<'a>(&'a self, _: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn listing<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        Box::pin(async move {
            let chat = self.chat(connection).await?;
            let rows = sql::list(connection, chat.company_id, chat.id, MOST).await?;
            Ok(Some(Listing { subject_type: MESSAGES, rows }))
        })
    }

    fn load<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Self::Record>>>> {
        Box::pin(async move {
            let found = sql::find(connection, self.company_id(), self.chat_id, ids).await?;
            let loaded = found.into_iter().map(|message| Loaded {
                id: message.id,
                version: 0,
                record: self.viewer.sees_message(&message).then(|| Arc::new(message)),
            });
            Ok(loaded.collect())
        })
    }

    fn present_version<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<i32>> {
        Box::pin(async { Ok(self.chat(connection).await?.message_count) })
    }

    fn first<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async move {
            self.chat(connection).await?;
            Ok(Vec::new())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_id != self.chat_id.to_string() {
            return Ok(None);
        }
        let shown = |message: &Arc<MessageRecord>| self.viewer.sees_message(message).then(|| Arc::clone(message));
        project(event, shown, |_| true)
    }
}

impl ShownFeed for MessageFeed {
    fn audience(&self) -> Audience {
        self.viewer.audience()
    }

    /// Nothing hangs on a message; should that change, its chat decides.
    fn sees_now<'a>(&'a self, context: &'a Context<'_>, record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(feeds::sees_chat_now(&self.viewer, context, record.chat_id))
    }
}

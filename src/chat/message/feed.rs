//! The feed of messages.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MessageRecord, MessageWindow, sql};
use crate::{
    chat::{MESSAGES, record::ChatRecord, rights::Viewer, sql as chat_sql},
    platform::{
        error::{Error, Result},
        event::{Event, Interest, Subject, hub::Scope},
        subscription::{ChangeOperation, Feed, Versioned},
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

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let chat = self.chat(connection).await?;
            let newest = sql::page(connection, chat.company_id, &[chat.id], &MessageWindow::NEWEST).await?;
            let versioned = |message: MessageRecord| Versioned { version: message.number, record: Arc::new(message) };
            let mut messages: Vec<_> = newest.into_iter().map(versioned).collect();
            messages.reverse();
            Ok(messages)
        })
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
        let message = event.record::<MessageRecord>()?;
        Ok(self.viewer.sees_message(&message).then_some((ChangeOperation::Insert, message)))
    }
}

//! The list of a chat's newest messages, as the subscription `messages` of deployed widgets sends it whole at each change.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MessageRecord, MessageWindow, sql};
use crate::{
    chat::{MESSAGES, record::ChatRecord, sql as chat_sql},
    platform::{
        error::{Error, Result},
        event::{Interest, hub::Scope},
        subscription::derived::{Derive, Derived},
    },
};

/// The lists that are being watched, by company and chat.
pub type MessageLists = Derived<(Uuid, Uuid), MessageList>;

/// A chat's newest messages, at most [`MOST`](super::MOST), oldest first.
#[derive(Debug)]
pub struct MessageList {
    /// The chat as it was when the list was read; decides who may see the list.
    pub chat: ChatRecord,
    /// The messages of the page, in its order.
    pub messages: Vec<Arc<MessageRecord>>,
}

/// Reads the list of one chat.
#[derive(Debug)]
pub struct ReadMessageList {
    /// The chat's company.
    pub company_id: Uuid,
    /// The chat whose messages are listed.
    pub chat_id: Uuid,
}

impl Derive for ReadMessageList {
    type Value = MessageList;

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.chat_id.to_string());
        vec![Interest { company_id: self.company_id, subject_type: MESSAGES, scope }]
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<MessageList>> {
        Box::pin(async move {
            let chat = chat_sql::find_chat(connection, self.company_id, self.chat_id).await?;
            let chat = chat.ok_or_else(|| Error::not_found("chat"))?;
            let newest = sql::page(connection, self.company_id, &[chat.id], &MessageWindow::NEWEST).await?;
            Ok(MessageList { chat, messages: newest.into_iter().rev().map(Arc::new).collect() })
        })
    }
}

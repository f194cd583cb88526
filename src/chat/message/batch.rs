//! `createMessage` for many writers in one transaction, at most one message to each chat.
//!
//! The batch locks the chats that are free and leaves the others: a message to a chat that is just being written
//! elsewhere, or that has one in this batch already, is done alone. All other outcomes, errors too, are the batch's.

use std::{collections::HashSet, sync::Arc};

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    NewMessage,
    service::{Written, write},
    sql,
};
use crate::platform::{
    auth::Principal,
    batch::{self, Batches},
    error::Result,
    event::{self, LogNotifier},
};

/// One writer's message.
#[derive(Debug)]
pub(in crate::chat) struct Post {
    /// Who writes.
    pub(super) principal: Principal,
    /// What.
    pub(super) new: NewMessage,
    /// The message's id, by the client or else by the server.
    pub(super) id: Uuid,
    /// On whose side.
    pub(super) is_agent: bool,
}

/// The lane of each company.
pub(in crate::chat) type Posts = Batches<Uuid, Arc<Post>, Result<Written>>;

/// Batches of `createMessage` on this database.
pub(in crate::chat) fn posts(pool: PgPool, notifier: LogNotifier) -> Posts {
    Batches::writes("create_message", pool, move |connection, company_id, posts| {
        let notifier = notifier.clone();
        async move {
            let (outcomes, changed) = post(connection, company_id, posts).await?;
            if changed {
                notifier.notify();
            }
            Ok(outcomes)
        }
        .boxed()
    })
}

/// The outcomes, `None` for what is to be done alone, and whether anything was written.
async fn post(
    connection: &mut PgConnection,
    company_id: Uuid,
    posts: &[Arc<Post>],
) -> Result<(Vec<Option<Result<Written>>>, bool)> {
    let mut taken = HashSet::new();
    let (places, first): (Vec<usize>, Vec<&Post>) = posts
        .iter()
        .enumerate()
        .filter(|(_, post)| taken.insert(post.new.chat_id))
        .map(|(place, post)| (place, &**post))
        .unzip();
    let mut transaction = batch::begin(connection).await?;
    let connection = &mut *transaction;
    let chat_ids: Vec<Uuid> = first.iter().map(|post| post.new.chat_id).collect();
    let chats = sql::lock_free_chats(connection, company_id, &chat_ids).await?;
    // A chat that was not locked is another writer's just now, or is not there: alone they will be told.
    let is_locked = |post: &Post| chats.iter().any(|chat| chat.id == post.new.chat_id);
    let (places, first): (Vec<usize>, Vec<&Post>) =
        places.into_iter().zip(first).filter(|(_, post)| is_locked(post)).unzip();
    let (outcomes, events) = write(connection, company_id, &chats, &first, false).await?;
    if !events.is_empty() {
        event::append(connection, &events).await?;
    }
    // Also without a new message: an echo was noted, perhaps.
    transaction.commit().await?;
    let mut all: Vec<Option<Result<Written>>> = posts.iter().map(|_| None).collect();
    for (place, outcome) in places.into_iter().zip(outcomes) {
        all[place] = Some(outcome);
    }
    Ok((all, !events.is_empty()))
}

//! `startChat` for many agents in one transaction.
//!
//! The batch locks the races that are free and leaves the others: an answer whose race is just being decided
//! elsewhere, like one that must fail, is done alone. Several answers to one race are decided in the order in which
//! they came.

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Answer, Started, decide};
use crate::{
    chat::race::{service, sql, state::StartOutcome},
    platform::{
        batch::{self, Batches},
        error::Result,
        event::{self, LogNotifier},
    },
};

/// The lane of each company.
pub(in crate::chat) type Answers = Batches<Uuid, Answer, Started>;

/// Batches of `startChat` on this database.
pub(in crate::chat) fn answers(pool: PgPool, notifier: LogNotifier) -> Answers {
    Batches::writes("start_chat", pool, move |connection, company_id, answers| {
        let notifier = notifier.clone();
        async move {
            let started = start(connection, company_id, answers).await?;
            if started.iter().flatten().any(|started| started.outcome == StartOutcome::Started) {
                notifier.notify();
            }
            Ok(started)
        }
        .boxed()
    })
}

async fn start(connection: &mut PgConnection, company_id: Uuid, answers: &[Answer]) -> Result<Vec<Option<Started>>> {
    let mut transaction = batch::begin(connection).await?;
    let connection = &mut *transaction;
    let chat_ids: Vec<Uuid> = answers.iter().map(|answer| answer.chat_id).collect();
    let records = sql::lock_free_races_of(connection, company_id, &chat_ids).await?;
    let mut races = service::with_chats(connection, company_id, records).await?;
    let (started, events) = decide(connection, company_id, &mut races, answers).await?;
    if events.is_empty() {
        transaction.rollback().await?;
    } else {
        event::append(connection, &events).await?;
        transaction.commit().await?;
    }
    Ok(started)
}

//! Answering an offer, `startChat`: the first of a race wins.
//!
//! One function, [`decide`], serves one answer as it serves a [batch] of them: with the races locked and their chats
//! read under the locks, it finds what each answer comes to, in their order, then writes all that follows from it.

pub(in crate::chat) mod batch;
mod sql;

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Race, RaceRecord},
    service, sql as race_sql,
    state::{self, ChatStatus, CloseReason, RaceState, StartOutcome},
    timers,
};
use crate::{
    chat::{Chats, changes::Changes, message, rights},
    platform::{
        auth::{Principal, Role},
        db,
        error::{Error, Result},
        event::{self, NewEvent},
    },
};

/// What became of an agent's answer.
#[derive(Debug, Clone)]
pub struct Started {
    /// Whether this call won.
    pub outcome: StartOutcome,
    /// The chat.
    pub chat: ChatRecord,
    /// Its race.
    pub race: RaceRecord,
}

/// One agent's answer.
#[derive(Debug, Clone)]
pub(in crate::chat) struct Answer {
    /// Who answers.
    pub(in crate::chat) principal: Principal,
    /// Which offer.
    pub(in crate::chat) chat_id: Uuid,
}

/// Answers that have won, by their race's key.
type Won<'a> = HashMap<Uuid, &'a Answer>;

/// What an answer to `chat` comes to after those that have `won`.
fn outcome(chat: &ChatRecord, won: &Won<'_>) -> StartOutcome {
    match won.get(&chat.key) {
        Some(winner) if winner.chat_id == chat.id => state::start(ChatStatus::Started, None),
        Some(_) if chat.status == ChatStatus::Active => {
            state::start(ChatStatus::Finished, Some(CloseReason::Rescinded))
        }
        _ => state::start(chat.status, chat.close_reason),
    }
}

/// Decides `answers`, in their order; `races` are locked and become what they are decided to be. Answers `None` for a
/// chat that is not of these races or that its caller may not see, and the events to append: none if nobody won.
pub(super) async fn decide(
    connection: &mut PgConnection,
    company_id: Uuid,
    races: &mut [Race],
    answers: &[Answer],
) -> Result<(Vec<Option<Started>>, Vec<NewEvent>)> {
    let mut won = Won::new();
    let outcomes: Vec<Option<StartOutcome>> = answers
        .iter()
        .map(|answer| {
            // Judged under the lock: the contract may have gone to another agent meanwhile.
            let chat = chat_of(races, answer.chat_id).filter(|chat| rights::sees_chat(&answer.principal, chat))?;
            let outcome = outcome(chat, &won);
            if outcome == StartOutcome::Started {
                won.insert(chat.key, answer);
            }
            Some(outcome)
        })
        .collect();
    let events = if won.is_empty() { Vec::new() } else { write(connection, company_id, races, &won).await? };
    let started = outcomes.into_iter().zip(answers).map(|(outcome, answer)| {
        let race = races.iter().find(|race| race.chat(answer.chat_id).is_some())?;
        Some(Started { outcome: outcome?, chat: race.chat(answer.chat_id)?.clone(), race: race.record.clone() })
    });
    Ok((started.collect(), events))
}

fn chat_of(races: &[Race], id: Uuid) -> Option<&ChatRecord> {
    races.iter().find_map(|race| race.chat(id))
}

/// Writes what follows from these answers: the winners start with their headline as the first message, the other
/// offers are withdrawn, the races are won and have no timers any more.
async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    races: &mut [Race],
    won: &Won<'_>,
) -> Result<Vec<NewEvent>> {
    let mut races: Vec<&mut Race> = races.iter_mut().filter(|race| won.contains_key(&race.record.key)).collect();
    let before: Vec<Race> = races.iter().map(|race| (*race).clone()).collect();
    let keys: Vec<Uuid> = won.keys().copied().collect();
    let winners: Vec<Uuid> = won.values().map(|answer| answer.chat_id).collect();
    let settled = sql::settle(connection, company_id, &keys, &winners).await?;
    let (started, rescinded): (Vec<_>, Vec<_>) =
        settled.into_iter().partition(|chat| chat.status == ChatStatus::Started);
    let openings = message::sql::insert_openings(connection, company_id, &started).await?;
    for race in &mut races {
        race.replace(&started);
        race.replace(&rescinded);
        race.record.state = RaceState::Won;
        race.record.winner_id = won.get(&race.record.key).map(|answer| answer.chat_id);
    }
    let mut records: Vec<&mut RaceRecord> = races.iter_mut().map(|race| &mut race.record).collect();
    race_sql::save_races(connection, company_id, &mut records, None).await?;
    timers::clear_all(connection, company_id, &before).await?;
    let mut events = Vec::new();
    for (race, before) in races.iter().zip(&before) {
        let key = race.record.key;
        let answer = won.get(&key).ok_or_else(|| Error::internal("a race without an answer was won"))?;
        let winner = race.chat(answer.chat_id).filter(|chat| chat.status == ChatStatus::Started);
        let winner = winner.ok_or_else(|| Error::internal("the chat of an answer that won was not started"))?;
        let withdrawn: Vec<ChatRecord> = rescinded.iter().filter(|chat| chat.key == key).cloned().collect();
        let opening = openings.iter().find(|message| message.chat_id == winner.id);
        let opening = opening.ok_or_else(|| Error::internal("a chat was started without its opening message"))?;
        let mut changes = Changes::by(company_id, Some(&answer.principal.subject));
        changes.race("RaceWon", &race.record, Some(&before.record))?;
        changes.chat("ChatStarted", winner, before.chat(winner.id))?;
        changes.chats("ChatRescinded", &withdrawn, &before.chats)?;
        changes.message(opening, winner.message_count)?;
        events.extend(changes.into_events());
    }
    Ok(events)
}

impl Chats {
    /// The agent answers. The first of a race wins: in one transaction its chat is STARTED, the other offers are
    /// withdrawn, the headline becomes the first message, and all timers go. All later answers change nothing; they
    /// learn what the chat came to.
    ///
    /// # Errors
    /// `FORBIDDEN` for visitors and participants, `NOT_FOUND` for a chat that the caller may not see.
    #[tracing::instrument(name = "chat.start", skip_all, fields(chat.id = %chat_id))]
    pub async fn start(&self, principal: &Principal, chat_id: Uuid) -> Result<Started> {
        if matches!(principal.role, Role::Consumer | Role::Participant) {
            return Err(Error::forbidden("only the chat's agent or the company may start it"));
        }
        let answer = Answer { principal: principal.clone(), chat_id };
        // With the others that answer now. What cannot be done so, is done alone.
        let started = match self.answers.submit(principal.company_id, answer.clone()).await {
            Some(started) => started,
            None => Box::pin(self.start_alone(answer)).await?,
        };
        metrics::counter!("switchboard_chat_starts_total", "outcome" => started.outcome.as_str()).increment(1);
        Ok(started)
    }

    async fn start_alone(&self, answer: Answer) -> Result<Started> {
        let key = self.key_of(&answer.principal, answer.chat_id).await?;
        let _turn = self.turns.take(answer.principal.company_id, key).await;
        let started = db::retrying(|| self.start_once(key, &answer)).await?;
        if started.outcome == StartOutcome::Started {
            self.notifier.notify();
        }
        Ok(started)
    }

    async fn start_once(&self, key: Uuid, answer: &Answer) -> Result<Started> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = answer.principal.company_id;
        let mut races = service::lock_many(connection, company_id, &[key]).await?;
        let (mut started, events) = decide(connection, company_id, &mut races, std::slice::from_ref(answer)).await?;
        let started = started.pop().flatten().ok_or_else(|| Error::not_found("chat"))?;
        if started.outcome == StartOutcome::Started {
            event::append(connection, &events).await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(started)
    }
}

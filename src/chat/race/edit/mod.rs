//! What else may be done to a race and its chats: cancel, `updateChat`, ratings. All under the race's lock.
//!
//! `updateChat` is how deployed widgets start, end and flag chats; it is those very operations, so the same rules
//! hold. A patch is one transaction: it takes effect whole or not at all.

mod sql;

use uuid::Uuid;

use super::{
    answer::{self, Answer},
    record::{ChatRecord, Race},
    service::{self, Ended, end_locked, lock_for, side_of},
    sql as race_sql,
    state::{self, ChatStatus, CloseReason, RaceState, Side, StartOutcome},
    timers,
};
use crate::{
    chat::{Chats, changes::Changes, rights},
    platform::{
        auth::{Principal, Role},
        db,
        error::{Error, Result},
    },
};

pub use super::state::CancelOutcome;

/// A change of a chat; its bounds are checked. Absent keeps.
#[derive(Debug, Clone, Default)]
pub struct ChatEdit {
    /// Started or finished; a chat never becomes active by a patch.
    pub status: Option<ChatStatus>,
    /// Says that it was not answered in time: flagged if that is so. False changes nothing: a flag stays.
    pub missed: Option<bool>,
    /// What the customer asks.
    pub headline: Option<String>,
    /// Who asks.
    pub customer_name: Option<String>,
}

/// What a transaction that applied an edit came to.
struct Edited {
    chat: ChatRecord,
    changed: bool,
    started: Option<StartOutcome>,
    ended: Option<Ended>,
}

impl Chats {
    /// The customer leaves: every offer is withdrawn, with all timers. Once an offer is taken this changes nothing.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants, `NOT_FOUND` for a race that the caller may not see.
    #[tracing::instrument(name = "race.cancel", skip_all)]
    pub async fn cancel_race(&self, principal: &Principal, key: Uuid) -> Result<(CancelOutcome, Race)> {
        if matches!(principal.role, Role::Agent | Role::Participant) {
            return Err(Error::forbidden("only the visitor who asked or the company may cancel"));
        }
        let _turn = self.turns.take(principal.company_id, key).await;
        let (outcome, race) = db::retrying(|| self.cancel_once(principal, key)).await?;
        metrics::counter!("switchboard_race_cancels_total", "outcome" => outcome.as_str()).increment(1);
        if outcome == CancelOutcome::Canceled {
            self.notifier.notify();
        }
        Ok((outcome, race))
    }

    async fn cancel_once(&self, principal: &Principal, key: Uuid) -> Result<(CancelOutcome, Race)> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = principal.company_id;
        let race = service::lock(connection, company_id, key).await?;
        let race = race.filter(|race| rights::sees_race(principal, &race.record));
        let mut race = race.ok_or_else(|| Error::not_found("race"))?;
        let outcome = state::cancel(race.record.state);
        if outcome != CancelOutcome::Canceled {
            transaction.rollback().await?;
            return Ok((outcome, race));
        }
        let before = race.clone();
        let canceled = race_sql::withdraw_offers(connection, company_id, key, CloseReason::Canceled).await?;
        race.replace(&canceled);
        race.record.state = RaceState::Canceled;
        race_sql::save_race(connection, &mut race.record, None).await?;
        timers::clear_all(connection, company_id, std::slice::from_ref(&before)).await?;
        let mut changes = Changes::by(company_id, Some(&principal.subject));
        changes.race("RaceCanceled", &race.record, Some(&before.record))?;
        changes.chats("ChatCanceled", &canceled, &before.chats)?;
        changes.append(connection).await?;
        transaction.commit().await?;
        Ok((outcome, race))
    }

    /// Applies a patch, whole or not at all. Started and finished are the agent's answer and the end, by their rules.
    /// `missed` is a fact about time: true flags an unanswered chat once its time has passed and changes nothing
    /// before; false changes nothing. The texts may change until an agent has taken the chat.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a patch to active; `FORBIDDEN` for participants, for a visitor who starts and an agent who
    /// changes the customer's words; `NOT_FOUND` for a chat that the caller may not see; `CONFLICT` for an answer that
    /// lost, and for texts of a chat that was taken or is over.
    #[tracing::instrument(name = "chat.update", skip_all, fields(chat.id = %chat_id))]
    pub async fn update_chat(&self, principal: &Principal, chat_id: Uuid, edit: &ChatEdit) -> Result<ChatRecord> {
        let side = side_of(principal)?;
        match edit.status {
            Some(ChatStatus::Active) => return Err(Error::invalid("patch.status", "must be STARTED or FINISHED")),
            Some(ChatStatus::Started) if side == Side::Customer => {
                return Err(Error::forbidden("only the chat's agent or the company may start it"));
            }
            _ => {}
        }
        let key = self.key_of(principal, chat_id).await?;
        let _turn = self.turns.take(principal.company_id, key).await;
        let edited = db::retrying(|| self.update_once(principal, key, chat_id, side, edit)).await?;
        if let Some(outcome) = edited.started {
            metrics::counter!("switchboard_chat_starts_total", "outcome" => outcome.as_str()).increment(1);
        }
        if edited.changed {
            self.notifier.notify();
        }
        if let Some(ended) = &edited.ended {
            self.announce_end(ended);
        }
        Ok(edited.chat)
    }

    async fn update_once(
        &self,
        principal: &Principal,
        key: Uuid,
        chat_id: Uuid,
        side: Side,
        edit: &ChatEdit,
    ) -> Result<Edited> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let ends = edit.status == Some(ChatStatus::Finished);
        let candidates = if ends {
            self.lock_candidates(connection, principal, key, side).await?
        } else {
            super::reoffer::Candidates::default()
        };
        let (mut race, mut chat) = lock_for(connection, principal, key, chat_id).await?;
        let mut changes = Changes::by(principal.company_id, Some(&principal.subject));
        let version = chat.version;
        let headline = edit.headline.as_ref().unwrap_or(&chat.headline);
        let customer_name = edit.customer_name.as_ref().unwrap_or(&chat.customer_name);
        if *headline != chat.headline || *customer_name != chat.customer_name {
            if principal.role == Role::Agent {
                return Err(Error::forbidden("only the visitor who asked or the company may change its words"));
            }
            if chat.status != ChatStatus::Active {
                return Err(Error::conflict("the chat was taken or is over, its headline and customerName stay"));
            }
            let saved = sql::save_texts(connection, &chat, headline, customer_name).await?;
            changes.chat("ChatUpdated", &saved, Some(&chat))?;
            chat = saved;
        }
        if edit.missed == Some(true)
            && let Some(missed) = sql::flag_if_due(connection, &chat).await?
        {
            timers::clear_miss(connection, std::slice::from_ref(&missed)).await?;
            changes.chat("ChatMissed", &missed, Some(&chat))?;
            metrics::counter!("switchboard_chats_missed_total").increment(1);
            chat = missed;
        }
        race.replace(std::slice::from_ref(&chat));
        let mut edited = Edited { changed: chat.version != version, chat, started: None, ended: None };
        if edit.status == Some(ChatStatus::Started) {
            let answer = [Answer { principal: principal.clone(), chat_id }];
            let races = std::slice::from_mut(&mut race);
            let (mut started, events) = answer::decide(connection, principal.company_id, races, &answer).await?;
            let started = started.pop().flatten().ok_or_else(|| Error::not_found("chat"))?;
            changes.add(events);
            if matches!(started.outcome, StartOutcome::LostRace | StartOutcome::Closed) {
                let label = started.outcome.as_str();
                metrics::counter!("switchboard_chat_starts_total", "outcome" => label).increment(1);
                return Err(Error::conflict(match started.outcome {
                    StartOutcome::LostRace => "another agent took this customer first",
                    _ => "the chat is over",
                }));
            }
            edited.changed |= started.outcome == StartOutcome::Started;
            edited.started = Some(started.outcome);
            edited.chat = started.chat;
        } else if ends {
            let ended = end_locked(connection, &mut race, edited.chat, side, &candidates, &mut changes).await?;
            edited.changed |= ended.changed;
            edited.chat = ended.chat.clone();
            edited.ended = Some(ended);
        }
        if edited.changed {
            changes.append(connection).await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(edited)
    }

    /// The customer rates a chat that was held, from 1 to 5. A second rating replaces the first.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants, `NOT_FOUND` for a chat that the caller may not see, `CONFLICT` for one
    /// that was never started.
    #[tracing::instrument(name = "chat.rate", skip_all, fields(chat.id = %chat_id))]
    pub async fn rate(&self, principal: &Principal, chat_id: Uuid, rating: i32) -> Result<ChatRecord> {
        if matches!(principal.role, Role::Agent | Role::Participant) {
            return Err(Error::forbidden("only the visitor who asked or the company may rate a chat"));
        }
        let key = self.key_of(principal, chat_id).await?;
        let _turn = self.turns.take(principal.company_id, key).await;
        let chat = db::retrying(|| self.rate_once(principal, key, chat_id, rating)).await?;
        self.notifier.notify();
        Ok(chat)
    }

    async fn rate_once(&self, principal: &Principal, key: Uuid, chat_id: Uuid, rating: i32) -> Result<ChatRecord> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let (_, chat) = lock_for(connection, principal, key, chat_id).await?;
        if chat.started_at.is_none() {
            return Err(Error::conflict("the chat was never started"));
        }
        if chat.rating == Some(rating) {
            transaction.rollback().await?;
            return Ok(chat);
        }
        let rated = sql::save_rating(connection, principal.company_id, chat_id, rating).await?;
        let mut changes = Changes::by(principal.company_id, Some(&principal.subject));
        changes.chat("ChatRated", &rated, Some(&chat))?;
        changes.append(connection).await?;
        transaction.commit().await?;
        Ok(rated)
    }
}

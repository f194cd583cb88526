//! A race under its lock, and the end of a chat. Offers are made in `open/`, answered in `answer/`; what comes due is
//! in `timers.rs`.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Race, RaceRecord},
    reoffer::{self, Candidates},
    sql,
    state::{self, ChatStatus, CloseReason, End, RaceState, Side},
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

/// Locks a race and reads its chats under the lock; `None` if there is no such race.
pub(in crate::chat) async fn lock(connection: &mut PgConnection, company_id: Uuid, key: Uuid) -> Result<Option<Race>> {
    Ok(lock_many(connection, company_id, &[key]).await?.pop())
}

/// Locks races, ascending, and reads their chats under the locks.
pub(in crate::chat) async fn lock_many(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<Race>> {
    // The locks in a statement of their own: what a decision rests on is read in the next, whose snapshot is newer.
    let records = sql::lock_races(connection, company_id, keys).await?;
    with_chats(connection, company_id, records).await
}

/// Races that are locked, with their chats as they are now.
pub(super) async fn with_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    records: Vec<RaceRecord>,
) -> Result<Vec<Race>> {
    let keys: Vec<Uuid> = records.iter().map(|record| record.key).collect();
    let mut chats: HashMap<Uuid, Vec<ChatRecord>> = HashMap::new();
    for chat in sql::chats_of_races(connection, &vec![company_id; keys.len()], &keys).await? {
        chats.entry(chat.key).or_default().push(chat);
    }
    let races = records.into_iter().map(|record| {
        let own = chats.remove(&record.key).unwrap_or_default();
        Race::new(record, own)
    });
    Ok(races.collect())
}

/// Moves a contract's unfinished chats to `agent_id`. The contract is locked for update, so that none is added; the
/// races are locked here.
pub(in crate::chat) async fn reassign(
    connection: &mut PgConnection,
    company_id: Uuid,
    contract_id: Uuid,
    agent_id: Option<Uuid>,
    changes: &mut Changes<'_>,
) -> Result<()> {
    let keys = sql::unfinished_races(connection, company_id, contract_id).await?;
    let races = lock_many(connection, company_id, &keys).await?;
    let moved = sql::reassign_chats(connection, company_id, contract_id, &keys, agent_id).await?;
    for mut race in races {
        let before = race.clone();
        let moved: Vec<ChatRecord> = moved.iter().filter(|chat| chat.key == race.record.key).cloned().collect();
        race.replace(&moved);
        race.renew_agents();
        changes.chats("ChatReassigned", &moved, &before.chats)?;
        if race.record.agent_ids != before.record.agent_ids {
            sql::save_race(connection, &mut race.record, None).await?;
            changes.race("RaceReassigned", &race.record, Some(&before.record))?;
        }
    }
    Ok(())
}

/// The race of a chat, locked, with the chat as the caller may see it.
pub(super) async fn lock_for(
    connection: &mut PgConnection,
    principal: &Principal,
    key: Uuid,
    chat_id: Uuid,
) -> Result<(Race, ChatRecord)> {
    let race = lock(connection, principal.company_id, key).await?.ok_or_else(|| Error::not_found("chat"))?;
    // Judged under the lock: the contract may have gone to another agent meanwhile.
    let chat = race.chat(chat_id).filter(|chat| rights::sees_chat(principal, chat)).cloned();
    Ok((race, chat.ok_or_else(|| Error::not_found("chat"))?))
}

/// Who ends a chat when this caller does.
pub(super) fn side_of(principal: &Principal) -> Result<Side> {
    match principal.role {
        Role::Participant => Err(Error::forbidden("participants have no chats")),
        Role::Consumer => Ok(Side::Customer),
        Role::Agent | Role::Service | Role::Admin => Ok(Side::Company),
    }
}

/// What became of an end.
pub(super) struct Ended {
    pub(super) chat: ChatRecord,
    pub(super) changed: bool,
    /// When the first of the timers that were set comes due.
    pub(super) due_at: Option<OffsetDateTime>,
}

/// Ends a chat whose race is locked, and before it the contracts of `candidates`.
pub(super) async fn end_locked(
    connection: &mut PgConnection,
    race: &mut Race,
    chat: ChatRecord,
    side: Side,
    candidates: &Candidates,
    changes: &mut Changes<'_>,
) -> Result<Ended> {
    let Some(End { reason, race: decided }) = state::end(chat.status, side, race.is_offered(Some(chat.id))) else {
        return Ok(Ended { chat, changed: false, due_at: None });
    };
    let ended = sql::finish_chat(connection, chat.company_id, chat.id, reason).await?;
    race.replace(std::slice::from_ref(&ended));
    let mut due_at = None;
    if let Some(decided) = decided {
        let before = race.record.clone();
        race.record.state = decided;
        sql::save_race(connection, &mut race.record, None).await?;
        let kind = if decided == RaceState::Canceled { "RaceCanceled" } else { "RaceFailed" };
        changes.race(kind, &race.record, Some(&before))?;
        timers::clear_all(connection, race.record.company_id, std::slice::from_ref(race)).await?;
    } else if chat.status == ChatStatus::Active {
        timers::clear_miss(connection, std::slice::from_ref(&chat)).await?;
    } else if side == Side::Company {
        due_at = reoffer::reoffer(connection, race, &ended, candidates, changes).await?;
    }
    let kind = if reason == CloseReason::Canceled { "ChatCanceled" } else { "ChatCompleted" };
    changes.chat(kind, &ended, Some(&chat))?;
    Ok(Ended { chat: ended, changed: true, due_at })
}

impl Chats {
    /// The chat, if the caller may see it.
    pub async fn chat(&self, principal: &Principal, id: Uuid) -> Result<Option<ChatRecord>> {
        let chat = self.find(principal.company_id, id).await?;
        Ok(chat.filter(|chat| rights::sees_chat(principal, chat)))
    }

    /// The race, if the caller may see it, with those of its chats that it may see.
    pub async fn race(&self, principal: &Principal, key: Uuid) -> Result<Option<Race>> {
        let mut connection = self.pool.acquire().await?;
        let Some(record) = sql::find_race(&mut connection, principal.company_id, key).await? else { return Ok(None) };
        let chats = sql::chats_of_race(&mut connection, principal.company_id, key).await?;
        let mut race = Race::new(record, chats);
        race.chats.retain(|chat| rights::sees_chat(principal, chat));
        Ok(rights::sees_race(principal, &race.record).then_some(race))
    }

    /// Ends a chat that is being held, or takes back an offer: its customer leaves, or its agent declines. A customer
    /// who takes back the last offer cancels the race; when the last one is declined it has failed. A winner whose side
    /// ends the chat at once, without a word, may give way to the other offers. A chat that is over already is answered
    /// as it is.
    ///
    /// # Errors
    /// `FORBIDDEN` for participants, `NOT_FOUND` for a chat that the caller may not see.
    #[tracing::instrument(name = "chat.end", skip_all, fields(chat.id = %chat_id))]
    pub async fn end(&self, principal: &Principal, chat_id: Uuid) -> Result<ChatRecord> {
        let side = side_of(principal)?;
        let key = self.key_of(principal, chat_id).await?;
        let _turn = self.turns.take(principal.company_id, key).await;
        let ended = db::retrying(|| self.end_once(principal, key, chat_id, side)).await?;
        self.announce_end(&ended);
        Ok(ended.chat)
    }

    async fn end_once(&self, principal: &Principal, key: Uuid, chat_id: Uuid, side: Side) -> Result<Ended> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let candidates = self.lock_candidates(connection, principal, key, side).await?;
        let (mut race, chat) = lock_for(connection, principal, key, chat_id).await?;
        let mut changes = Changes::by(principal.company_id, Some(&principal.subject));
        let ended = end_locked(connection, &mut race, chat, side, &candidates, &mut changes).await?;
        if ended.changed {
            changes.append(connection).await?;
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(ended)
    }

    /// To be called before the race is locked, by whoever may end a chat.
    pub(super) async fn lock_candidates(
        &self,
        connection: &mut PgConnection,
        principal: &Principal,
        key: Uuid,
        side: Side,
    ) -> Result<Candidates> {
        match side {
            // A customer who leaves wants no other agent.
            Side::Customer => Ok(Candidates::default()),
            Side::Company => {
                reoffer::lock_candidates(connection, principal.company_id, key, self.settings.reoffer_grace).await
            }
        }
    }

    pub(super) fn announce_end(&self, ended: &Ended) {
        let outcome = match (ended.changed, ended.chat.close_reason) {
            (false, _) => "already_ended",
            (true, Some(CloseReason::Canceled)) => "canceled",
            (true, _) => "completed",
        };
        metrics::counter!("switchboard_chat_ends_total", "outcome" => outcome).increment(1);
        if ended.changed {
            self.notifier.notify();
        }
        if let Some(due_at) = ended.due_at {
            self.alarm.set(due_at);
        }
    }
}

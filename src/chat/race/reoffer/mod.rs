//! A winner who vanishes gives way: when the agent's side ends a chat within the grace, before it wrote anything, the
//! race of a `createChatRace` takes up its other offers again, and the customer does not have to ask anew.
//!
//! ```text
//! WON ── the winner's side ends it, in time and silent ──► WAITING: the rescinded offers of contracts that are active
//!                                                                   and on shift are ACTIVE again
//! ```
//! The race keeps its end: a re-opened race expires when it would have before. Whether the agent wrote anything is
//! looked up after the ended chat's row was changed, thus locked; a message that came first is seen, a later one finds
//! the chat over. The contracts are locked before the race, as by everybody who makes offers, so that an offer never
//! goes to an agent who has just handed its contract on.

mod sql;

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Race},
    sql as race_sql,
    state::{self, RaceState},
    timers,
};
use crate::{
    chat::{changes::Changes, contract},
    platform::{error::Result, timer},
};

/// The contracts whose offers may go out again, locked.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    contracts: Vec<Uuid>,
    grace: Duration,
}

/// Locks the contracts whose offers may go out again when the winner of this race is ended now. Before the race.
pub(super) async fn lock_candidates(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
    grace: Duration,
) -> Result<Candidates> {
    if grace.is_zero() {
        return Ok(Candidates::default());
    }
    let contracts = sql::candidates(connection, company_id, key, grace.as_secs_f64()).await?;
    if !contracts.is_empty() {
        contract::sql::lock_shared(connection, company_id, &contracts).await?;
    }
    Ok(Candidates { contracts, grace })
}

/// Re-opens the race whose winner `ended` was just finished by its own side, where it gives way. Answers when the first
/// of the timers that were set comes due; `None` if the race stays as it is.
pub(super) async fn reoffer(
    connection: &mut PgConnection,
    race: &mut Race,
    ended: &ChatRecord,
    candidates: &Candidates,
    changes: &mut Changes<'_>,
) -> Result<Option<OffsetDateTime>> {
    let Candidates { contracts, grace } = candidates;
    let now = race_sql::now(connection).await?;
    let is_winner = race.record.winner_id == Some(ended.id);
    let in_time = state::gives_way(ended.started_at, race.record.expires_at, *grace, now);
    if contracts.is_empty() || !race.record.reoffers || !is_winner || !in_time {
        return Ok(None);
    }
    if sql::agent_wrote(connection, ended).await? {
        return Ok(None);
    }
    let (company_id, key) = (race.record.company_id, race.record.key);
    let shift = state::shift_of(now);
    let available: Vec<Uuid> = contract::sql::find_many(connection, company_id, contracts)
        .await?
        .into_iter()
        .filter(|contract| contract.is_active() && contract.session == shift && contract.id != ended.contract_id)
        .map(|contract| contract.id)
        .collect();
    if available.is_empty() {
        return Ok(None);
    }
    let before = race.clone();
    let reopened = sql::reopen(connection, company_id, key, &available).await?;
    if reopened.is_empty() {
        return Ok(None);
    }
    race.replace(&reopened);
    race.renew_agents();
    race.record.state = RaceState::Waiting;
    race.record.winner_id = None;
    race_sql::save_race(connection, &mut race.record, None).await?;
    let mut set: Vec<_> = reopened.iter().filter(|chat| !chat.missed).filter_map(timers::miss).collect();
    set.push(timers::expire(&race.record));
    timer::set(connection, &set).await?;
    changes.race("RaceReoffered", &race.record, Some(&before.record))?;
    changes.chats("ChatReoffered", &reopened, &before.chats)?;
    metrics::counter!("switchboard_races_reoffered_total").increment(1);
    Ok(set.iter().map(|timer| timer.due_at).min())
}

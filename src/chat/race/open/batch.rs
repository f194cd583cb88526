//! `createChat` for many customers in one transaction: the simple cases, which are nearly every call.
//!
//! Simple is: the contract is there, active, and the caller's to use; the key is new, or its race waits for an answer, is
//! the caller's and its website's, and nobody holds it just now. A new race nobody else can see before the commit, so
//! there is nothing to decide under its lock: it is inserted waiting, with its chats, its timers and its events. A race
//! that waits is locked and gets the chats that it does not have yet. Everything else, as every request that must fail,
//! is left to be done alone.
//!
//! ```text
//! contracts, for key share ──► races, on conflict do nothing ──► races that were there, skip locked
//!                                                       └──► chats ──► timers ──► events      (all ascending)
//! ```
//!
//! The order of locks is that of every other writer. Requests of one batch with the same key and the same caller are
//! offers of one race.

use std::{collections::BTreeMap, time::Duration};

use futures_util::FutureExt as _;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    NewChat, check,
    sql::{self, NewOpenRace, Offer},
};
use crate::{
    chat::{
        changes::Changes,
        contract::{self, ContractRecord},
        race::{
            record::{ChatRecord, Race},
            service, sql as race_sql,
            state::RaceState,
            timers,
        },
        rights,
    },
    platform::{
        auth::{Principal, Role},
        batch::{self, Batches},
        error::Result,
        event::{self, LogNotifier},
        timer::{self, Alarm, NewTimer},
    },
};

/// One customer's request.
#[derive(Debug)]
pub(in crate::chat) struct Asked {
    /// Who asks.
    pub(in crate::chat) principal: Principal,
    /// The race that it opens.
    pub(in crate::chat) key: Uuid,
    /// What it asks.
    pub(in crate::chat) new: NewChat,
}

/// What a request came to.
#[derive(Debug)]
pub(in crate::chat) struct Offered {
    /// The chat.
    pub(super) chat: ChatRecord,
    /// False for a repeat: the chat was there.
    pub(super) is_new: bool,
}

/// The lane of each company.
pub(in crate::chat) type Creates = Batches<Uuid, Asked, Offered>;

/// Batches of `createChat` on this database.
pub(in crate::chat) fn creates(pool: PgPool, notifier: LogNotifier, alarm: Alarm, cap: Duration) -> Creates {
    Batches::writes("create_chat", pool, move |connection, company_id, asked| {
        let (notifier, alarm) = (notifier.clone(), alarm.clone());
        async move {
            let Opened { offered, due_at } = open(connection, company_id, asked, cap).await?;
            if offered.iter().flatten().any(|offered| offered.is_new) {
                notifier.notify();
            }
            if let Some(due_at) = due_at {
                alarm.set(due_at);
            }
            Ok(offered)
        }
        .boxed()
    })
}

/// What a batch came to.
struct Opened {
    /// Of each request; `None` for one that is not simple.
    offered: Vec<Option<Offered>>,
    /// When the first of the timers that were set comes due; `None` if there are none.
    due_at: Option<OffsetDateTime>,
}

/// Requests that open one race together, each with its contract. Never empty.
struct Opening<'a> {
    asked: Vec<(&'a Asked, &'a ContractRecord)>,
}

impl<'a> Opening<'a> {
    fn first(&self) -> (&'a Asked, &'a ContractRecord) {
        self.asked[0]
    }

    /// True if the race, which waits, is the caller's to join, and this is all that there is to do.
    fn may_use(&self, race: &Race) -> bool {
        let (first, contract) = self.first();
        let is_own = first.principal.role != Role::Consumer || first.principal.subject == race.record.owner;
        // A contract that failed before is to be struck off the list: not simple.
        let has_failed =
            |contract: &ContractRecord| race.record.failures.iter().any(|failure| failure.contract_id == contract.id);
        is_own
            && contract.website_id == race.record.website_id
            && !self.asked.iter().any(|(_, contract)| has_failed(contract))
    }

    /// True if `other` asks for one more chat of this race, as its owner.
    fn takes(&self, other: &Asked, contract: &ContractRecord) -> bool {
        let (first, offered) = self.first();
        first.principal.subject == other.principal.subject
            && first.principal.role == other.principal.role
            && offered.website_id == contract.website_id
            && self.asked.iter().all(|(_, taken)| taken.id != contract.id)
    }
}

/// The races to open, by key ascending; requests that are not simple are left out.
fn openings<'a>(asked: &'a [Asked], contracts: &'a [ContractRecord]) -> Vec<(Uuid, Opening<'a>)> {
    let mut openings: BTreeMap<Uuid, Opening<'a>> = BTreeMap::new();
    for asked in asked {
        let Some(contract) = contracts.iter().find(|contract| contract.id == asked.new.contract_id) else { continue };
        let offerable = rights::sees_contract(&asked.principal, contract)
            && check(Some(contract), contract.website_id, &asked.principal).is_ok();
        if !offerable {
            continue;
        }
        match openings.get_mut(&asked.key) {
            None => {
                openings.insert(asked.key, Opening { asked: vec![(asked, contract)] });
            }
            Some(opening) if opening.takes(asked, contract) => opening.asked.push((asked, contract)),
            Some(_) => {}
        }
    }
    openings.into_iter().collect()
}

async fn open(connection: &mut PgConnection, company_id: Uuid, asked: &[Asked], cap: Duration) -> Result<Opened> {
    let mut transaction = batch::begin(connection).await?;
    let connection = &mut *transaction;
    let mut ids: Vec<Uuid> = asked.iter().map(|asked| asked.new.contract_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let contracts = contract::sql::hold(connection, company_id, &ids).await?;
    let openings = openings(asked, &contracts);
    let fresh = insert_races(connection, company_id, &openings, cap).await?;
    let taken: Vec<Uuid> =
        openings.iter().map(|(key, _)| *key).filter(|key| fresh.iter().all(|race| race.record.key != *key)).collect();
    let waiting = waiting_races(connection, company_id, &taken).await?;
    let mut races: Vec<(Race, &Opening<'_>)> = Vec::new();
    for race in fresh.into_iter().chain(waiting) {
        let opening = openings.iter().find(|(key, opening)| *key == race.record.key && opening.may_use(&race));
        races.extend(opening.map(|(_, opening)| (race, opening)));
    }
    let mut offers = Vec::new();
    for (race, opening) in &races {
        for &(asked, contract) in &opening.asked {
            if race.chat_of(contract.id).is_none() {
                offers.push(Offer { race: &race.record, contract, request: &asked.new.request });
            }
        }
    }
    let written =
        if offers.is_empty() { Vec::new() } else { sql::insert_chats(connection, company_id, &offers, None).await? };
    let due_at = write(connection, company_id, &mut races, &written).await?;
    if written.is_empty() {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    // Whether a request was simple is told by whether it is in an opening, not by its name: an equal one is a repeat.
    let offered = |asked: &Asked| {
        let (race, opening) = races.iter().find(|(race, _)| race.record.key == asked.key)?;
        opening.asked.iter().find(|(member, _)| std::ptr::eq(*member, asked))?;
        let chat = race.chat_of(asked.new.contract_id)?.clone();
        Some(Offered { is_new: written.iter().any(|new| new.id == chat.id), chat })
    };
    Ok(Opened { offered: asked.iter().map(offered).collect(), due_at })
}

/// Inserts the races whose keys are free.
async fn insert_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    openings: &[(Uuid, Opening<'_>)],
    cap: Duration,
) -> Result<Vec<Race>> {
    let new: Vec<NewOpenRace<'_>> = openings
        .iter()
        .map(|(key, opening)| {
            let (first, contract) = opening.first();
            NewOpenRace { key: *key, website_id: contract.website_id, owner: &first.principal.subject }
        })
        .collect();
    let inserted = sql::insert_open_races(connection, company_id, &new, cap.as_secs_f64()).await?;
    Ok(inserted.into_iter().map(|record| Race::new(record, Vec::new())).collect())
}

/// Locks those of these races that are free, and answers those that wait for an answer.
async fn waiting_races(connection: &mut PgConnection, company_id: Uuid, keys: &[Uuid]) -> Result<Vec<Race>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut records = race_sql::lock_free_races(connection, company_id, keys).await?;
    records.retain(|race| race.state == RaceState::Waiting);
    service::with_chats(connection, company_id, records).await
}

/// What follows from the chats that were `written`: they are their races', which tell it, and have timers. Answers when
/// the first of those comes due.
async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    races: &mut [(Race, &Opening<'_>)],
    written: &[ChatRecord],
) -> Result<Option<OffsetDateTime>> {
    let before: Vec<Race> = races.iter().map(|(race, _)| race.clone()).collect();
    for (race, _) in races.iter_mut() {
        race.chats.extend(written.iter().filter(|chat| chat.key == race.record.key).cloned());
        race.renew_agents();
    }
    let is_joined = |race: &Race, before: &Race| !before.chats.is_empty() && race.chats.len() > before.chats.len();
    let mut joined: Vec<_> = races
        .iter_mut()
        .zip(&before)
        .filter(|((race, _), before)| is_joined(race, before))
        .map(|((race, _), _)| &mut race.record)
        .collect();
    if !joined.is_empty() {
        race_sql::save_races(connection, company_id, &mut joined, None).await?;
    }
    let mut set: Vec<NewTimer> = written.iter().filter_map(timers::miss).collect();
    let mut events = Vec::new();
    for ((race, opening), before) in races.iter().zip(&before) {
        let actor = &opening.first().0.principal.subject;
        let mut changes = Changes::by(company_id, Some(actor));
        if before.chats.is_empty() {
            set.push(timers::expire(&race.record));
            changes.race("RaceOpened", &race.record, None)?;
        } else if is_joined(race, before) {
            changes.race("RaceJoined", &race.record, Some(&before.record))?;
        }
        changes.chats("ChatOffered", &race.chats[before.chats.len()..], &[])?;
        events.extend(changes.into_events());
    }
    timer::set(connection, &set).await?;
    if !events.is_empty() {
        event::append(connection, &events).await?;
    }
    Ok(set.iter().map(|timer| timer.due_at).min())
}

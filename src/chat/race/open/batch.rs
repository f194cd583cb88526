//! `createChat` for many customers in one transaction: the simple case, which is nearly every call.
//!
//! Simple is: the key is new, the contract is there, active, and the caller's to use. Then there is nothing to decide
//! under the race's lock, because nobody else can see the race before the commit: it is inserted waiting, with its
//! chats, its timers and its events. A request whose key is taken, by another transaction under way too, is left to
//! be done alone, as is every request that must fail.
//!
//! ```text
//! contracts, for key share, ascending ──► races, on conflict do nothing, ascending ──► chats ──► timers ──► events
//! ```
//!
//! The order of locks is that of every other writer. Requests of one batch with the same key and the same owner open
//! one race with a chat for each of their contracts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    NewChat, check,
    sql::{self, NewOpenRace, Offer},
};
use crate::{
    auth::Principal,
    chat::{
        changes::Changes,
        contract::{self, ContractRecord},
        race::{
            record::{ChatRecord, Race},
            timers,
        },
        rights,
    },
    db::batch::Batches,
    error::Result,
    event::Bell,
    timer::{self, Alarm},
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

/// The lane of each company.
pub(in crate::chat) type Creates = Batches<Uuid, Asked, ChatRecord>;

/// Batches of `createChat` on this database.
pub(in crate::chat) fn creates(pool: PgPool, bell: Bell, alarm: Alarm, cap: Duration) -> Creates {
    Batches::new("create_chat", move |company_id, asked: Arc<[Asked]>| {
        let (pool, bell, alarm) = (pool.clone(), bell.clone(), alarm.clone());
        async move {
            match open(&pool, company_id, &asked, cap).await {
                Ok(Opened { chats, due_at }) => {
                    if let Some(due_at) = due_at {
                        bell.ring();
                        alarm.set(due_at);
                    }
                    chats
                }
                // Whatever it was, each of them meets it again alone, and answers it.
                Err(error) => {
                    tracing::debug!(error = error.chain(), size = asked.len(), "a batch of createChat failed");
                    Vec::new()
                }
            }
        }
        .boxed()
    })
}

/// What a batch came to.
struct Opened {
    /// Of each request; `None` for one that is not simple.
    chats: Vec<Option<ChatRecord>>,
    /// When the first of the timers comes due; `None` if no race was opened.
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

async fn open(pool: &PgPool, company_id: Uuid, asked: &[Asked], cap: Duration) -> Result<Opened> {
    let mut transaction = pool.begin().await?;
    let connection = &mut *transaction;
    let mut ids: Vec<Uuid> = asked.iter().map(|asked| asked.new.contract_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let contracts = contract::sql::hold(connection, company_id, &ids).await?;
    let openings = openings(asked, &contracts);
    let new: Vec<NewOpenRace<'_>> = openings
        .iter()
        .map(|(key, opening)| {
            let (first, contract) = opening.first();
            NewOpenRace { key: *key, website_id: contract.website_id, owner: &first.principal.subject }
        })
        .collect();
    let inserted = sql::insert_open_races(connection, company_id, &new, cap.as_secs_f64()).await?;
    if inserted.is_empty() {
        transaction.rollback().await?;
        return Ok(Opened { chats: vec![None; asked.len()], due_at: None });
    }
    let mut offers = Vec::new();
    for (key, opening) in &openings {
        let Some(race) = inserted.iter().find(|race| race.key == *key) else { continue };
        for &(asked, contract) in &opening.asked {
            offers.push(Offer { race, contract, request: &asked.new.request });
        }
    }
    let chats = sql::insert_chats(connection, company_id, &offers, None).await?;
    let races = inserted.iter().map(|race| {
        let own = chats.iter().filter(|chat| chat.key == race.key).cloned().collect();
        Race::new(race.clone(), own)
    });
    let mut set: Vec<_> = chats.iter().filter_map(timers::miss).collect();
    let mut events = Vec::new();
    for race in races {
        set.push(timers::expire(&race.record));
        let mut changes = Changes::by(company_id, Some(&race.record.owner));
        changes.race("RaceOpened", &race.record, None)?;
        changes.chats("ChatOffered", &race.chats, &[])?;
        events.extend(changes.into_events());
    }
    timer::set(connection, &set).await?;
    crate::event::append(connection, &events).await?;
    transaction.commit().await?;
    let due_at = set.iter().map(|timer| timer.due_at).min();
    // Whether a request's chat is among them is told by whether it was offered, not by its name: an equal one is a repeat.
    let written = |asked: &Asked| {
        let opening = openings.iter().find(|(key, _)| *key == asked.key)?;
        opening.1.asked.iter().find(|(member, _)| std::ptr::eq(*member, asked))?;
        chats.iter().find(|chat| chat.key == asked.key && chat.contract_id == asked.new.contract_id).cloned()
    };
    Ok(Opened { chats: asked.iter().map(written).collect(), due_at })
}

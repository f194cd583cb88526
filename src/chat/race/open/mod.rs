//! Making offers: `createChat` (one contract) and `createChatRace` (a shift's contracts, or those named).
//!
//! Both are the same step. With the contracts and the race locked, each contract that has no chat in the race yet
//! is checked and offered one. Repeating a request therefore changes nothing, also after an answer was lost.

pub(in crate::chat) mod batch;
mod sql;

use std::collections::HashSet;

use ipnet::IpNet;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use self::{
    batch::{Asked, Offered},
    sql::Offer,
};
use super::{
    record::{ChatRecord, Failure, Race},
    service, sql as race_sql, state, timers,
};
use crate::{
    chat::{
        Chats,
        changes::Changes,
        contract::{self, ContractRecord},
        rights, website,
    },
    platform::{
        auth::{Principal, Role},
        clock, db,
        error::{Error, Result},
        timer,
    },
};

/// What the customer wrote; its bounds are checked.
#[derive(Debug, Clone)]
pub struct CustomerRequest {
    /// What it is about.
    pub headline: String,
    /// Who asks.
    pub customer_name: String,
    /// From where, as the client says, else as its connection shows.
    pub ip_address: Option<IpNet>,
    /// Remote address of the connection.
    pub created_from: Option<IpNet>,
}

/// One offer.
#[derive(Debug, Clone)]
pub struct NewChat {
    /// To whom.
    pub contract_id: Uuid,
    /// The race to open or to join; a new one if absent.
    pub key: Option<Uuid>,
    /// What was asked.
    pub request: CustomerRequest,
}

/// A whole race.
#[derive(Debug, Clone)]
pub struct NewRace {
    /// Where the customer asks; a visitor's own if absent.
    pub website_id: Option<Uuid>,
    /// Whose contracts: the shift's, the present one if absent.
    pub session: Option<i32>,
    /// Which contracts instead of a shift's.
    pub contract_ids: Option<Vec<Uuid>>,
    /// The race to open or to add to; a new one if absent.
    pub key: Option<Uuid>,
    /// Seconds until it expires; the setting if absent.
    pub expires_in: Option<i32>,
    /// What was asked.
    pub request: CustomerRequest,
}

/// What a transaction that made offers came to.
struct Opened {
    race: Race,
    /// When the first of the timers that were set comes due; `None` if nothing was changed.
    due_at: Option<OffsetDateTime>,
    changed: bool,
}

/// A race under its lock, about to get offers.
struct Opening {
    race: Race,
    is_new: bool,
    cap_seconds: f64,
}

/// Inserts the race if its key is free, locks it, and checks that the caller may use it. The contracts are locked.
async fn lock_or_insert(
    connection: &mut PgConnection,
    principal: &Principal,
    key: Uuid,
    website_id: Uuid,
    (cap_seconds, reoffers): (f64, bool),
) -> Result<Opening> {
    let company_id = principal.company_id;
    let owner = &principal.subject;
    let is_new = sql::insert_race(connection, company_id, key, website_id, owner, cap_seconds, reoffers).await?;
    // In a statement of its own: the insert may have waited for another transaction, whose row its snapshot lacks.
    let race = service::lock(connection, company_id, key).await?;
    let race = race.ok_or_else(|| Error::internal("a race that was just inserted is not there"))?;
    if principal.role == Role::Consumer && principal.subject != race.record.owner {
        return Err(Error::conflict("this key is another visitor's"));
    }
    if race.record.website_id != website_id {
        return Err(Error::conflict("this key is a race of another website"));
    }
    Ok(Opening { race, is_new, cap_seconds })
}

/// Why this contract cannot be offered a chat of a race of `website_id`.
fn check(contract: Option<&ContractRecord>, website_id: Uuid, principal: &Principal) -> Result<()> {
    let contract = contract.ok_or_else(|| Error::not_found("contract"))?;
    if contract.website_id != website_id {
        // To a visitor the contracts of other websites do not exist.
        return Err(match principal.role {
            Role::Consumer => Error::not_found("contract"),
            _ => Error::conflict("the contract is for another website than the race's"),
        });
    }
    if !contract.is_active() {
        return Err(Error::conflict("the contract is not active"));
    }
    Ok(())
}

impl Opening {
    /// Offers the race to `contracts`, all checked and without a chat in it; `failures` are those that were tried in
    /// vain. Writes nothing where nothing changes.
    async fn offer(
        self,
        connection: &mut PgConnection,
        principal: &Principal,
        contracts: &[&ContractRecord],
        failures: Vec<Failure>,
        request: &CustomerRequest,
    ) -> Result<Opened> {
        let Self { mut race, is_new, cap_seconds } = self;
        let before = race.record.clone();
        let closed = before.state.closes();
        let mut added = Vec::new();
        if !contracts.is_empty() {
            let record = &race.record;
            let offers: Vec<Offer<'_>> =
                contracts.iter().map(|contract| Offer { race: record, contract, request }).collect();
            added = sql::insert_chats(connection, record.company_id, &offers, closed).await?;
            race.chats.extend(added.iter().cloned());
            race.renew_agents();
        }
        let answered: HashSet<Uuid> =
            failures.iter().map(|failure| failure.contract_id).chain(contracts.iter().map(|new| new.id)).collect();
        let failed = !failures.is_empty();
        race.record.failures.retain(|failure| !answered.contains(&failure.contract_id));
        race.record.failures.extend(failures);
        race.record.state = state::opened(before.state, race.is_offered(None), failed);
        // An offer to an agent who has one already leaves the race's record as it was, and is a change all the same.
        if !is_new && added.is_empty() && race.record == before {
            return Ok(Opened { race, due_at: None, changed: false });
        }
        // A race without offers has no time that runs; with the first one it begins anew.
        let begins = before.state != race.record.state && race.is_offered(None);
        race_sql::save_race(connection, &mut race.record, begins.then_some(cap_seconds)).await?;
        let mut set: Vec<_> = added.iter().filter_map(timers::miss).collect();
        if begins {
            set.push(timers::expire(&race.record));
        }
        timer::set(connection, &set).await?;
        let mut changes = Changes::by(race.record.company_id, Some(&principal.subject));
        if is_new {
            changes.race("RaceOpened", &race.record, None)?;
        } else {
            let kind = if added.is_empty() { "RaceFailed" } else { "RaceJoined" };
            changes.race(kind, &race.record, Some(&before))?;
        }
        changes.chats("ChatOffered", &added, &[])?;
        changes.append(connection).await?;
        Ok(Opened { race, due_at: set.iter().map(|timer| timer.due_at).min(), changed: true })
    }
}

impl Chats {
    /// Offers the customer's request to one contract. Calls with one `key` share a race; a repeat with the same
    /// contract answers the chat that is there; in a race that is decided the chat is born finished.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants; `NOT_FOUND` for a contract that is not there or (to a visitor) another
    /// website's; `CONFLICT` for a contract that is not active or of another website than the race's, and for another
    /// visitor's key.
    #[tracing::instrument(name = "chat.create", skip_all, fields(contract.id = %new.contract_id))]
    pub async fn create_chat(&self, principal: &Principal, new: NewChat) -> Result<ChatRecord> {
        require_creator(principal)?;
        let key = new.key.unwrap_or_else(clock::new_id);
        // With the others that ask now. What cannot be done so, is done alone.
        let asked = Asked { principal: principal.clone(), key, new: new.clone() };
        let Offered { chat, is_new } = match self.creates.submit(principal.company_id, asked).await {
            Some(offered) => offered,
            None => Box::pin(self.create_chat_alone(principal, key, &new)).await?,
        };
        let label = if is_new { "offered" } else { "repeated" };
        metrics::counter!("switchboard_chat_creates_total", "outcome" => label).increment(1);
        Ok(chat)
    }

    async fn create_chat_alone(&self, principal: &Principal, key: Uuid, new: &NewChat) -> Result<Offered> {
        let _turn = self.turns.take(principal.company_id, key).await;
        let opened = db::retrying(|| self.create_chat_once(principal, key, new)).await?;
        self.announce(&opened);
        let chat = opened.race.chat_of(new.contract_id).cloned();
        let chat = chat.ok_or_else(|| Error::internal("a chat that was just offered is not there"))?;
        Ok(Offered { chat, is_new: opened.changed })
    }

    async fn create_chat_once(&self, principal: &Principal, key: Uuid, new: &NewChat) -> Result<Opened> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = principal.company_id;
        contract::sql::lock_shared(connection, company_id, &[new.contract_id]).await?;
        let contract = contract::sql::find(connection, company_id, new.contract_id).await?;
        let contract = contract.filter(|contract| rights::sees_contract(principal, contract));
        let contract = contract.ok_or_else(|| Error::not_found("contract"))?;
        let cap = self.settings.race_cap.as_secs_f64();
        let opening = lock_or_insert(connection, principal, key, contract.website_id, (cap, false)).await?;
        if opening.race.chat_of(contract.id).is_some() {
            transaction.rollback().await?;
            return Ok(Opened { race: opening.race, due_at: None, changed: false });
        }
        // Read again: the lock that holds the contract's agent does not hold its status.
        let contract = contract::sql::find(connection, company_id, new.contract_id).await?;
        check(contract.as_ref(), opening.race.record.website_id, principal)?;
        let contracts: Vec<&ContractRecord> = contract.iter().collect();
        let opened = opening.offer(connection, principal, &contracts, Vec::new(), &new.request).await?;
        transaction.commit().await?;
        Ok(opened)
    }

    /// Offers the customer's request to the contracts of a shift or to those named, all in one transaction. A contract
    /// that cannot be offered it is reported in the race's failures. Nobody on shift: OFFLINE. A repeat by the owner
    /// answers the race, and unless it is decided adds the contracts that have become available.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants; `BAD_USER_INPUT` for too many or no contracts, or no website;
    /// `NOT_FOUND` for a website that the caller may not use; `CONFLICT` for another visitor's or website's key.
    #[tracing::instrument(name = "race.create", skip_all)]
    pub async fn create_race(&self, principal: &Principal, mut new: NewRace) -> Result<Race> {
        require_creator(principal)?;
        if let Some(named) = &mut new.contract_ids {
            let mut seen = HashSet::new();
            named.retain(|id| seen.insert(*id));
            let most = self.settings.race_contracts;
            if named.is_empty() || named.len() > most {
                return Err(Error::invalid("contractIds", format_args!("must name 1 to {most} contracts")));
            }
        }
        let key = new.key.unwrap_or_else(clock::new_id);
        let _turn = self.turns.take(principal.company_id, key).await;
        let opened = db::retrying(|| self.create_race_once(principal, key, &new)).await?;
        metrics::counter!("switchboard_race_creates_total", "state" => opened.race.record.state.as_str()).increment(1);
        self.announce(&opened);
        Ok(opened.race)
    }

    async fn create_race_once(&self, principal: &Principal, key: Uuid, new: &NewRace) -> Result<Opened> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = principal.company_id;
        let website_id = race_website(connection, principal, new).await?;
        let wanted = if let Some(named) = &new.contract_ids {
            contract::sql::lock_shared(connection, company_id, named).await?;
            named.clone()
        } else {
            let session = match new.session {
                Some(session) => session,
                None => state::shift_of(race_sql::now(connection).await?),
            };
            let most = self.settings.race_contracts;
            contract::sql::lock_on_shift(connection, company_id, website_id, session, most).await?
        };
        let cap = new.expires_in.map_or_else(|| self.settings.race_cap.as_secs_f64(), f64::from);
        let opening = lock_or_insert(connection, principal, key, website_id, (cap, true)).await?;
        if opening.race.record.state.closes().is_some() {
            transaction.rollback().await?;
            return Ok(Opened { race: opening.race, due_at: None, changed: false });
        }
        // Read under the locks: a contract may have been changed while this waited.
        let contracts = contract::sql::find_many(connection, company_id, &wanted).await?;
        let mut offers = Vec::new();
        let mut failures = Vec::new();
        for contract_id in wanted {
            if opening.race.chat_of(contract_id).is_some() {
                continue;
            }
            let contract = contracts.iter().find(|contract| contract.id == contract_id);
            match (check(contract, website_id, principal), contract) {
                (Ok(()), Some(contract)) => offers.push(contract),
                (Err(error), _) => failures.push(Failure {
                    contract_id,
                    code: error.code().as_str().to_owned(),
                    message: error.message().to_owned(),
                }),
                (Ok(()), None) => {}
            }
        }
        let opened = opening.offer(connection, principal, &offers, failures, &new.request).await?;
        transaction.commit().await?;
        Ok(opened)
    }

    fn announce(&self, opened: &Opened) {
        if opened.changed {
            self.notifier.notify();
        }
        if let Some(due_at) = opened.due_at {
            self.alarm.set(due_at);
        }
    }
}

fn require_creator(principal: &Principal) -> Result<()> {
    if matches!(principal.role, Role::Agent | Role::Participant) {
        return Err(Error::forbidden("only a visitor or the company may ask for a chat"));
    }
    Ok(())
}

/// The website of a race: a visitor's own; for the company the one it names, or that of the first contract named.
async fn race_website(connection: &mut PgConnection, principal: &Principal, new: &NewRace) -> Result<Uuid> {
    let unknown = || Error::not_found("website");
    if principal.role == Role::Consumer {
        let own = principal.website_id.ok_or_else(unknown)?;
        if new.website_id.is_some_and(|given| given != own) {
            return Err(unknown());
        }
        return Ok(own);
    }
    if let Some(given) = new.website_id {
        let website = website::sql::find(connection, principal.company_id, given).await?;
        return website.map(|website| website.id).ok_or_else(unknown);
    }
    let Some(named) = &new.contract_ids else {
        return Err(Error::invalid("websiteId", "required unless contractIds are given"));
    };
    let contracts = contract::sql::find_many(connection, principal.company_id, named).await?;
    let first = named.iter().find_map(|id| contracts.iter().find(|contract| contract.id == *id));
    first.map(|contract| contract.website_id).ok_or_else(|| Error::not_found("contract"))
}

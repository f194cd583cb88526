//! `createChatRace`: offers the customer's request to the contracts of a shift, or to those named, all at once.
//!
//! A contract that cannot be offered it is reported in the race's failures. Nobody on shift: the race is OFFLINE. A
//! repeat by the owner gets the race, and unless it is decided adds the contracts that have become available.
//!
//! A contract that does not exist (or not for the caller) is reported in the call's result only. Names of nothing cost the
//! caller nothing, so a race that kept them would grow with every call, and with it each of its events.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Chats,
    contract::ContractRecord,
    create::{CustomerRequest, Refusals, check, offer, open_or_join},
    decision::Decision,
    record::{Failure, Race},
    rights::{self, Action},
    rules,
    verb::{Candidates, Invocation, RaceVerb, Target},
};
use crate::platform::{
    auth::{Principal, Role},
    clock,
    error::{Code, Error, Result},
};

/// The constraint by which a race belongs to a website of its company. A visitor's website is a claim of its token, which
/// another issuer may have signed: it need not exist, and is not read for each race.
const OF_WEBSITE: &str = "chat_race_company_id_website_id_fkey";

/// A race to open, or to add offers to.
#[derive(Debug, Clone)]
pub struct NewRace {
    /// The website that the customer visits; a visitor's own if absent.
    pub website_id: Option<Uuid>,
    /// The shift whose contracts are offered it; the present one if absent.
    pub shift: Option<i32>,
    /// These contracts instead of a shift's.
    pub contract_ids: Option<Vec<Uuid>>,
    /// The race to open or to add to; a new one if absent.
    pub key: Option<Uuid>,
    /// Seconds until it expires; the setting if absent.
    pub expires_in: Option<i32>,
    /// What the customer wrote, within its bounds.
    pub request: CustomerRequest,
}

/// A call of `createChatRace`.
#[derive(Debug)]
pub(super) struct CreateChatRace {
    principal: Principal,
    key: Uuid,
    website_id: Uuid,
    contracts: Contracts,
    request: CustomerRequest,
    expires_in: Duration,
}

#[derive(Debug)]
enum Contracts {
    Named(Vec<Uuid>),
    OnShift { shift: Option<i32>, limit: usize },
}

impl RaceVerb for CreateChatRace {
    const KIND: &'static str = "create_chat_race";
    type Outcome = Race;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::Key(self.key))
    }

    fn candidates(&self, _: Option<&Race>, now: OffsetDateTime) -> Candidates {
        match &self.contracts {
            Contracts::Named(ids) => Candidates::Named(ids.clone()),
            Contracts::OnShift { shift, limit } => Candidates::OnShift {
                website_id: self.website_id,
                shift: shift.unwrap_or_else(|| rules::shift_of(now)),
                limit: *limit,
            },
        }
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<Race> {
        open_or_join(decision, &self.principal, self.website_id, self.expires_in, true)?;
        let race = decision.race_or("race")?;
        let mut failures = Vec::new();
        if race.record.state.closes().is_none() {
            let (offers, refused) = self.sort(decision, race);
            let mut kept = refused.clone();
            kept.retain(|failure| failure.code != Code::NotFound.as_str());
            let refusals = Refusals { failures: kept, any: !refused.is_empty() };
            offer(decision, &offers, refusals, &self.request, self.expires_in);
            failures = refused;
        }
        let mut race = decision.race_or("race")?.clone();
        let named: HashSet<Uuid> = failures.iter().map(|failure| failure.contract_id).collect();
        race.record.failures.retain(|failure| !named.contains(&failure.contract_id));
        race.record.failures.extend(failures);
        decision.count("switchboard_race_creates_total", &[("state", race.record.state.as_str())]);
        Ok(race)
    }
}

impl CreateChatRace {
    /// The contracts without a chat in the race: those that can be offered one, and why the others cannot.
    fn sort<'a>(&self, decision: &Decision<'a>, race: &Race) -> (Vec<&'a ContractRecord>, Vec<Failure>) {
        let wanted: Vec<Uuid> = match &self.contracts {
            Contracts::Named(ids) => ids.clone(),
            Contracts::OnShift { shift, limit } => {
                let shift = shift.unwrap_or_else(|| rules::shift_of(decision.now()));
                let mut on_shift: Vec<Uuid> = decision
                    .contracts()
                    .filter(|contract| contract.website_id == self.website_id && contract.shift == shift)
                    .map(|contract| contract.id)
                    .collect();
                on_shift.sort_unstable();
                on_shift.truncate(*limit);
                on_shift
            }
        };
        let (mut offers, mut failures) = (Vec::new(), Vec::new());
        for contract_id in wanted.into_iter().filter(|id| race.chat_of(*id).is_none()) {
            let contract = decision.contract(contract_id).ok_or_else(|| Error::not_found("contract"));
            let offered = contract.and_then(|contract| {
                check(contract, self.website_id, &self.principal)?;
                Ok(contract)
            });
            match offered {
                Ok(contract) => offers.push(contract),
                Err(error) => failures.push(Failure {
                    contract_id,
                    code: error.code().as_str().to_owned(),
                    message: error.message().to_owned(),
                }),
            }
        }
        (offers, failures)
    }
}

impl Chats {
    /// Offers the customer's request to the contracts of a shift or to those named, all in one transaction.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants; `BAD_USER_INPUT` for too many or no contracts, or no website;
    /// `NOT_FOUND` for a website that the caller may not use; `CONFLICT` for another visitor's or website's key.
    #[tracing::instrument(name = "race.create", skip_all)]
    pub async fn create_race(&self, principal: &Principal, new: NewRace) -> Result<Race> {
        rights::may(principal, Action::AskForChat)?;
        let limit = self.settings.race_contracts;
        let contracts = match &new.contract_ids {
            None => Contracts::OnShift { shift: new.shift, limit },
            Some(named) => {
                let mut seen = HashSet::new();
                let named: Vec<Uuid> = named.iter().copied().filter(|id| seen.insert(*id)).collect();
                if named.is_empty() || named.len() > limit {
                    return Err(Error::invalid("contractIds", format_args!("must name 1 to {limit} contracts")));
                }
                Contracts::Named(named)
            }
        };
        let call = CreateChatRace {
            website_id: self.website_of_race(principal, &new).await?,
            principal: principal.clone(),
            key: new.key.unwrap_or_else(clock::new_id),
            contracts,
            request: new.request,
            expires_in: new.expires_in.map_or_else(|| self.race_cap(), |seconds| Duration::seconds(seconds.into())),
        };
        let created = self.calls.create_chat_race.run(call).await;
        created.map_err(|error| if error.violates(OF_WEBSITE) { Error::not_found("website") } else { error })
    }

    /// The website of a race: a visitor's own; for the company the one it names, or that of the first contract named.
    /// Read without a lock: websites are never deleted, and a contract never changes its website.
    async fn website_of_race(&self, principal: &Principal, new: &NewRace) -> Result<Uuid> {
        let unknown = || Error::not_found("website");
        if principal.role == Role::Consumer {
            let own = principal.website_id.ok_or_else(unknown)?;
            if new.website_id.is_some_and(|given| given != own) {
                return Err(unknown());
            }
            return Ok(own);
        }
        if let Some(given) = new.website_id {
            let website = self.loaders.website(principal.company_id, given).await?;
            return website.map(|website| website.id).ok_or_else(unknown);
        }
        let Some(named) = &new.contract_ids else {
            return Err(Error::invalid("websiteId", "required unless contractIds are given"));
        };
        // All at once, so that they share statements.
        let found = try_join_all(named.iter().map(|id| self.loaders.contract(principal.company_id, *id))).await?;
        let first = found.into_iter().flatten().next();
        first.map(|contract| contract.website_id).ok_or_else(|| Error::not_found("contract"))
    }
}

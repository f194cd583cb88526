//! `createChat`: offers the customer's request to one contract.
//!
//! Calls with one `key` share a race, whichever servers they reach. A repeat with the same contract gets the chat that
//! is there. In a race that is decided the chat is born finished.

use ipnet::IpNet;
use time::Duration;
use uuid::Uuid;

use super::{
    Chats,
    contract::ContractRecord,
    decision::Decision,
    events,
    record::{ChatRecord, Failure, Race, RaceRecord},
    rights::{self, Action},
    rules::{self, ChatStatus, RaceState},
    verb::{Candidates, Invocation, RaceVerb, Target},
};
use crate::platform::{
    auth::{Principal, Role},
    clock,
    error::{Error, Result},
};

/// What the customer wrote; its bounds are checked.
#[derive(Debug, Clone)]
pub struct CustomerRequest {
    /// Becomes the first message when a chat starts.
    pub headline: String,
    /// The customer's name as shown to agents.
    pub customer_name: String,
    /// As the client says, else as its connection shows.
    pub ip_address: Option<IpNet>,
    /// Remote address of the connection.
    pub created_from: Option<IpNet>,
}

/// A chat to offer to one contract.
#[derive(Debug, Clone)]
pub struct NewChat {
    /// The contract that gets the offer.
    pub contract_id: Uuid,
    /// The race to open or to join; a new one if absent.
    pub key: Option<Uuid>,
    /// What the customer wrote, within its bounds.
    pub request: CustomerRequest,
}

/// A call of `createChat`.
#[derive(Debug)]
pub(super) struct CreateChat {
    principal: Principal,
    key: Uuid,
    contract_id: Uuid,
    request: CustomerRequest,
    /// Time until the race expires, if this call opens it.
    expires_in: Duration,
}

impl RaceVerb for CreateChat {
    const KIND: &'static str = "create_chat";
    type Outcome = ChatRecord;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::Key(self.key))
    }

    fn candidates(&self, _: Option<&Race>, _: time::OffsetDateTime) -> Candidates {
        Candidates::Named(vec![self.contract_id])
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<ChatRecord> {
        let contract = decision.contract(self.contract_id);
        let contract = contract.filter(|contract| rights::sees_contract(&self.principal, contract));
        let contract = contract.ok_or_else(|| Error::not_found("contract"))?;
        open_or_join(decision, &self.principal, contract.website_id, self.expires_in, false)?;
        let offered = |decision: &Decision<'_>| decision.race().and_then(|race| race.chat_of(contract.id)).cloned();
        let (chat, label) = if let Some(chat) = offered(decision) {
            (Some(chat), "repeated")
        } else {
            check(contract, contract.website_id, &self.principal)?;
            offer(decision, &[contract], Refusals::default(), &self.request, self.expires_in);
            (offered(decision), "offered")
        };
        decision.count("switchboard_chat_creates_total", &[("outcome", label)]);
        chat.ok_or_else(|| Error::internal("a chat that was just offered is not there"))
    }
}

/// Makes the race if there is none, else checks that the caller may use it for this website.
pub(super) fn open_or_join(
    decision: &mut Decision<'_>,
    principal: &Principal,
    website_id: Uuid,
    expires_in: Duration,
    reoffers: bool,
) -> Result<()> {
    let now = decision.now();
    match decision.race() {
        Some(race) if principal.role == Role::Consumer && !principal.is_called(&race.record.owner) => {
            Err(Error::conflict("this key is another visitor's"))
        }
        Some(race) if race.record.website_id != website_id => {
            Err(Error::conflict("this key is a race of another website"))
        }
        Some(_) => Ok(()),
        None => {
            decision.open(RaceRecord {
                company_id: principal.company_id,
                key: decision.key(),
                website_id,
                owner: principal.subject.clone(),
                state: RaceState::Offline,
                winner_id: None,
                failures: Vec::new(),
                reoffers,
                expires_at: now + expires_in,
                agent_ids: Vec::new(),
                version: 1,
                inserted_at: now,
                updated_at: now,
            });
            Ok(())
        }
    }
}

/// Why this contract cannot be offered a chat of a race of `website_id`.
pub(super) fn check(contract: &ContractRecord, website_id: Uuid, principal: &Principal) -> Result<()> {
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

/// The contracts that a call named in vain.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Those that the race keeps: they exist.
    pub(super) failures: Vec<Failure>,
    /// True if there are any, kept or not.
    pub(super) any: bool,
}

/// Offers the race to `contracts`, all checked and without a chat in it; `refusals` are those that cannot be offered it.
/// Changes nothing where nothing is new.
pub(super) fn offer(
    decision: &mut Decision<'_>,
    contracts: &[&ContractRecord],
    refusals: Refusals,
    request: &CustomerRequest,
    expires_in: Duration,
) {
    let (now, is_new) = (decision.now(), decision.seen().is_none());
    for contract in contracts {
        if let Some(race) = decision.race() {
            let chat = new_chat(&race.record, contract, request, now);
            decision.add_chat(contract, chat);
        }
    }
    let Some(race) = decision.race() else { return };
    let before = &race.record;
    let Refusals { failures, any: failed } = refusals;
    let mut known = before.failures.clone();
    known.retain(|failure| {
        failures.iter().all(|new| new.contract_id != failure.contract_id)
            && contracts.iter().all(|offered| offered.id != failure.contract_id)
    });
    known.extend(failures);
    let is_offered = race.is_offered(None);
    let state = rules::opened(before.state, is_offered, failed);
    // An offer to an agent who has one already leaves the race's record as it was, and is a change all the same.
    if !is_new && contracts.is_empty() && known == before.failures && state == before.state {
        return;
    }
    // The expiry clock starts with the first offer.
    let begins = state != before.state && is_offered;
    let event_type = if contracts.is_empty() { events::RACE_FAILED } else { events::RACE_JOINED };
    decision.change_race(event_type, |race| {
        race.failures = known;
        race.state = state;
        if begins {
            race.expires_at = now + expires_in;
        }
    });
}

/// An offer; finished from birth in a race that is decided.
fn new_chat(
    race: &RaceRecord,
    contract: &ContractRecord,
    request: &CustomerRequest,
    now: time::OffsetDateTime,
) -> ChatRecord {
    let close_reason = race.state.closes();
    ChatRecord {
        company_id: race.company_id,
        id: clock::new_id(),
        key: race.key,
        website_id: race.website_id,
        contract_id: contract.id,
        agent_id: contract.agent_id,
        visitor: race.owner.clone(),
        status: if close_reason.is_none() { ChatStatus::Active } else { ChatStatus::Finished },
        missed: false,
        close_reason,
        headline: request.headline.clone(),
        customer_name: request.customer_name.clone(),
        ip_address: request.ip_address,
        created_from: request.created_from,
        rating: None,
        miss_at: contract.miss_at(now).filter(|_| close_reason.is_none()),
        message_count: 0,
        version: 1,
        inserted_at: now,
        updated_at: now,
        started_at: None,
        finished_at: close_reason.map(|_| now),
    }
}

impl Chats {
    /// Cancels the races in which a visitor still waits that asks a new question: deployed widgets never send their cancel.
    ///
    /// Before the new race is opened, so that a crash in between leaves nothing that the visitor does not want. Two
    /// questions at the same moment leave each other alone.
    async fn withdraw_older(&self, principal: &Principal, key: Uuid) -> Result<()> {
        let (Role::Consumer, Some(website_id)) = (principal.role, principal.website_id) else { return Ok(()) };
        for name in [Some(&principal.subject), principal.earlier.as_ref()].into_iter().flatten() {
            let waiting = self.loaders.waiting_races(principal.company_id, (name.clone(), website_id, key)).await?;
            for older in waiting {
                // One that an agent has just started stays.
                Box::pin(self.cancel_race(principal, older)).await?;
            }
        }
        Ok(())
    }

    /// Offers the customer's request to one contract. A visitor that asks a new question leaves its older ones.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants; `NOT_FOUND` for a contract that is not there or (to a visitor) another
    /// website's; `CONFLICT` for a contract that is not active or of another website than the race's, and for another
    /// visitor's key.
    #[tracing::instrument(name = "chat.create", skip_all, fields(contract.id = %new.contract_id))]
    pub async fn create_chat(&self, principal: &Principal, new: NewChat) -> Result<ChatRecord> {
        rights::may(principal, Action::AskForChat)?;
        // Made here, so that a repeat after a lost connection finds the race.
        let key = new.key.unwrap_or_else(clock::new_id);
        self.withdraw_older(principal, key).await?;
        let call = CreateChat {
            principal: principal.clone(),
            key,
            contract_id: new.contract_id,
            request: new.request,
            expires_in: self.race_cap(),
        };
        self.calls.create_chat.run(call).await
    }
}

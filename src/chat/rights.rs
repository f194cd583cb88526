//! Who may see what, decided from a record alone, so that an event needs no query to be delivered or withheld.
//!
//! What one may not see looks as if it were not there.

use super::{
    contract::ContractRecord,
    race::{ChatRecord, RaceRecord},
};
use crate::auth::{Principal, Role};

/// A visitor sees its own chats on its website, an agent those of its contracts, the company all of its own.
pub fn sees_chat(principal: &Principal, chat: &ChatRecord) -> bool {
    principal.company_id == chat.company_id
        && match principal.role {
            Role::Consumer => principal.subject == chat.visitor && principal.website_id == Some(chat.website_id),
            Role::Agent => principal.agent_id.is_some() && principal.agent_id == chat.agent_id,
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

/// A visitor sees its own races, an agent those in which it has a chat, the company all of its own.
pub fn sees_race(principal: &Principal, race: &RaceRecord) -> bool {
    principal.company_id == race.company_id
        && match principal.role {
            Role::Consumer => owns_race(principal, race),
            Role::Agent => principal.agent_id.is_some_and(|agent| race.agent_ids.contains(&agent)),
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

/// True for the visitor whose request the race is.
pub fn owns_race(principal: &Principal, race: &RaceRecord) -> bool {
    principal.subject == race.owner && principal.website_id == Some(race.website_id)
}

/// A visitor sees its website's contracts, an agent its own, the company all of its own.
pub fn sees_contract(principal: &Principal, contract: &ContractRecord) -> bool {
    principal.company_id == contract.company_id
        && match principal.role {
            Role::Consumer => principal.website_id == Some(contract.website_id),
            Role::Agent => principal.agent_id.is_some() && principal.agent_id == contract.agent_id,
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

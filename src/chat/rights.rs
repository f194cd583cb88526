//! Who may see what, decided from a record alone, so that an event needs no query to be delivered or withheld.
//!
//! What one may not see looks as if it were not there.

use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use super::{
    contract::ContractRecord,
    message::MessageRecord,
    race::{ChatRecord, RaceRecord},
};
use crate::platform::auth::{Principal, Role};

/// Who reads chats, messages and contracts. A widget in the field may have no token; what it may see then hangs on
/// what it knows or where it is, and never on a claim of its own.
#[derive(Debug, Clone)]
pub enum Reader {
    /// A caller with a credential.
    Known(Arc<Principal>),
    /// One without, who knows the id of this chat. Ids are random and never listed to others.
    OfChat {
        /// The chat's.
        company_id: Uuid,
        /// The chat.
        chat_id: Uuid,
    },
    /// One without, where anonymous widgets are let in: sees the chats that were asked for from its own address.
    At {
        /// The tenant.
        company_id: Uuid,
        /// The remote address of its connection.
        address: IpNet,
    },
    /// One without, who sees what is public of a company.
    Public {
        /// The tenant.
        company_id: Uuid,
    },
}

impl From<Arc<Principal>> for Reader {
    fn from(principal: Arc<Principal>) -> Self {
        Self::Known(principal)
    }
}

impl Reader {
    /// The tenant.
    pub fn company_id(&self) -> Uuid {
        match self {
            Self::Known(principal) => principal.company_id,
            Self::OfChat { company_id, .. } | Self::At { company_id, .. } | Self::Public { company_id } => *company_id,
        }
    }

    /// Whether it may see this chat.
    pub fn sees_chat(&self, chat: &ChatRecord) -> bool {
        match self {
            Self::Known(principal) => sees_chat(principal, chat),
            Self::OfChat { company_id, chat_id } => *company_id == chat.company_id && *chat_id == chat.id,
            Self::At { company_id, address } => *company_id == chat.company_id && chat.created_from == Some(*address),
            Self::Public { .. } => false,
        }
    }

    /// Whether it may see this message.
    pub fn sees_message(&self, message: &MessageRecord) -> bool {
        match self {
            Self::Known(principal) => {
                principal.company_id == message.company_id
                    && match principal.role {
                        Role::Consumer => {
                            principal.subject == message.visitor && principal.website_id == Some(message.website_id)
                        }
                        Role::Agent => principal.agent_id.is_some() && principal.agent_id == message.agent_id,
                        Role::Participant => false,
                        Role::Service | Role::Admin => true,
                    }
            }
            Self::OfChat { company_id, chat_id } => *company_id == message.company_id && *chat_id == message.chat_id,
            Self::At { .. } | Self::Public { .. } => false,
        }
    }

    /// The contract as it may see it, if at all: without a credential only what a widget shows.
    pub fn shown(&self, contract: &Arc<ContractRecord>) -> Option<Arc<ContractRecord>> {
        match self {
            Self::Known(principal) => sees_contract(principal, contract).then(|| Arc::clone(contract)),
            _ => (self.company_id() == contract.company_id).then(|| Arc::new(contract.public())),
        }
    }

    /// True for a visitor, with or without a token: it is not told of offers that another agent's win withdrew.
    pub fn is_visitor(&self) -> bool {
        match self {
            Self::Known(principal) => principal.role == Role::Consumer,
            Self::OfChat { .. } | Self::At { .. } | Self::Public { .. } => true,
        }
    }
}

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

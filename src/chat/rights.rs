//! Access to chats, races, messages and contracts: which roles may do what, and which records a caller sees.
//!
//! Both are decided from the caller and the record alone, so that an event is delivered or withheld without a query. A
//! record that a caller may not see looks to it as if it did not exist (`NOT_FOUND`).

use std::sync::Arc;

use uuid::Uuid;

use super::{
    contract::ContractRecord,
    message::MessageRecord,
    record::{ChatRecord, RaceRecord},
    rules::Side,
};
use crate::platform::{
    auth::{Principal, Role},
    concept::{Access, RootField},
    error::{Error, Result},
};

/// What only some roles may do. Which records they may do it to is decided by the `sees_…` functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `createChat`, `createChatRace`.
    AskForChat,
    /// `startChat`, `updateChat` to STARTED.
    StartChat,
    /// `endChat`.
    EndChat,
    /// `updateChat`, `updateChatMissed`.
    UpdateChat,
    /// `updateChat` of headline and customer name.
    ChangeTexts,
    /// `cancelChatRace`.
    CancelRace,
    /// `createRate`.
    RateChat,
    /// `createMessage`.
    WriteMessage,
    /// `createMessage` on the agent's side.
    WriteAsAgent,
    /// `createWebsite`, `createContract`, `updateContract`.
    Administer,
}

impl Action {
    /// The roles that may do this.
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Admin, Agent, Consumer, Service};
        match self {
            Self::AskForChat | Self::ChangeTexts | Self::CancelRace | Self::RateChat => &[Consumer, Service, Admin],
            Self::StartChat | Self::WriteAsAgent => &[Agent, Service, Admin],
            Self::EndChat | Self::UpdateChat | Self::WriteMessage => &[Consumer, Agent, Service, Admin],
            Self::Administer => &[Service, Admin],
        }
    }

    /// What a caller of another role is told.
    const fn refusal(self) -> &'static str {
        match self {
            Self::AskForChat => "only a visitor or the company may ask for a chat",
            Self::ChangeTexts => "only the visitor who asked or the company may change its words",
            Self::CancelRace => "only the visitor who asked or the company may cancel",
            Self::RateChat => "only the visitor who asked or the company may rate a chat",
            Self::StartChat => "only the chat's agent or the company may start it",
            Self::WriteAsAgent => "a visitor cannot write as the agent",
            Self::EndChat | Self::UpdateChat | Self::WriteMessage => "participants have no chats",
            Self::Administer => "only the company's service or admin may do this",
        }
    }
}

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Query.currentShift", Access::Credential),
    ("Query.website", Access::CredentialOrWidget),
    ("Query.contract", Access::Credential),
    ("Query.contracts", Access::Credential),
    ("Query.chat", Access::Anyone),
    ("Query.chats", Access::Credential),
    ("Query.messages", Access::Anyone),
    ("Query.chatRace", Access::Credential),
    ("Mutation.consumerLogin", Access::Anyone),
    ("Mutation.createWebsite", Access::Roles(Action::Administer.roles())),
    ("Mutation.createContract", Access::Roles(Action::Administer.roles())),
    ("Mutation.updateContract", Access::Roles(Action::Administer.roles())),
    ("Mutation.createChat", Access::RolesOrWidget(Action::AskForChat.roles())),
    ("Mutation.createChatRace", Access::Roles(Action::AskForChat.roles())),
    ("Mutation.startChat", Access::Roles(Action::StartChat.roles())),
    ("Mutation.endChat", Access::RolesOrWidget(Action::EndChat.roles())),
    ("Mutation.updateChat", Access::RolesOrWidget(Action::UpdateChat.roles())),
    ("Mutation.updateChatMissed", Access::Roles(Action::UpdateChat.roles())),
    ("Mutation.cancelChatRace", Access::Roles(Action::CancelRace.roles())),
    ("Mutation.createMessage", Access::RolesOrWidget(Action::WriteMessage.roles())),
    ("Mutation.createRate", Access::RolesOrWidget(Action::RateChat.roles())),
    ("Subscription.chatStatus", Access::Credential),
    ("Subscription.chatRace", Access::Credential),
    ("Subscription.messageAdded", Access::Anyone),
    ("Subscription.contractStatus", Access::Credential),
    ("Subscription.chat", Access::Anyone),
    ("Subscription.messages", Access::Anyone),
    ("Subscription.onMessageAdded", Access::Anyone),
    ("Subscription.chatChanged", Access::CredentialOrWidget),
    ("Subscription.contractChanged", Access::Anyone),
];

/// Checks that the caller's role may do this.
///
/// # Errors
/// `FORBIDDEN`, with the roles that may.
pub fn may(principal: &Principal, action: Action) -> Result<()> {
    if action.roles().contains(&principal.role) { Ok(()) } else { Err(Error::forbidden(action.refusal())) }
}

/// On whose behalf the caller ends a chat.
pub(super) fn side(principal: &Principal) -> Side {
    if principal.role == Role::Consumer { Side::Customer } else { Side::Company }
}

/// A reader of chats, messages and contracts. A deployed widget may have no token; what it sees then depends on what it
/// knows or where it is, never on a claim of its own.
#[derive(Debug, Clone)]
pub enum Viewer {
    /// A caller with a credential.
    Known(Arc<Principal>),
    /// A caller without one that knows the id of this chat. Ids are random and never listed to others.
    HoldsChatId {
        /// The chat's company.
        company_id: Uuid,
        /// The only chat that it sees.
        chat_id: Uuid,
    },
    /// A caller without one, where anonymous widgets are allowed: its socket is pinned to one race, and it sees the chats of
    /// that race.
    PinnedTo {
        /// The race's company.
        company_id: Uuid,
        /// The race's key.
        key: Uuid,
    },
    /// A caller without one: sees the public fields of a company's contracts.
    Public {
        /// The company that it named.
        company_id: Uuid,
    },
}

impl From<Arc<Principal>> for Viewer {
    fn from(principal: Arc<Principal>) -> Self {
        Self::Known(principal)
    }
}

impl Viewer {
    /// The company whose records it may see.
    pub fn company_id(&self) -> Uuid {
        match self {
            Self::Known(principal) => principal.company_id,
            Self::HoldsChatId { company_id, .. } | Self::PinnedTo { company_id, .. } | Self::Public { company_id } => {
                *company_id
            }
        }
    }

    /// True if it may see this chat.
    pub fn sees_chat(&self, chat: &ChatRecord) -> bool {
        match self {
            Self::Known(principal) => sees_chat(principal, chat),
            Self::HoldsChatId { company_id, chat_id } => *company_id == chat.company_id && *chat_id == chat.id,
            Self::PinnedTo { company_id, key } => *company_id == chat.company_id && *key == chat.key,
            Self::Public { .. } => false,
        }
    }

    /// True if it may see this message.
    pub fn sees_message(&self, message: &MessageRecord) -> bool {
        match self {
            Self::Known(principal) => sees_message(principal, message),
            Self::HoldsChatId { company_id, chat_id } => {
                *company_id == message.company_id && *chat_id == message.chat_id
            }
            Self::PinnedTo { .. } | Self::Public { .. } => false,
        }
    }

    /// The contract as it may see it, if at all. A visitor sees active contracts, without prices and references.
    pub fn shown(&self, contract: &Arc<ContractRecord>) -> Option<Arc<ContractRecord>> {
        self.shown_with_chat(contract).filter(|contract| !self.is_visitor() || contract.is_active())
    }

    /// As [`Viewer::shown`], for the contract of a chat that it sees: that need not be active any more.
    pub fn shown_with_chat(&self, contract: &Arc<ContractRecord>) -> Option<Arc<ContractRecord>> {
        let sees = match self {
            Self::Known(principal) => sees_contract(principal, contract),
            _ => self.company_id() == contract.company_id,
        };
        sees.then(|| self.redacted(contract))
    }

    /// The contract with the fields that it may see of any contract: a visitor without prices and references.
    pub(super) fn redacted(&self, contract: &Arc<ContractRecord>) -> Arc<ContractRecord> {
        if self.is_visitor() { Arc::new(contract.public()) } else { Arc::clone(contract) }
    }

    /// True for a visitor, with or without a token: offers that another agent's win withdrew are kept from it, and what a
    /// contract costs.
    pub fn is_visitor(&self) -> bool {
        match self {
            Self::Known(principal) => principal.role == Role::Consumer,
            Self::HoldsChatId { .. } | Self::PinnedTo { .. } | Self::Public { .. } => true,
        }
    }
}

/// The parties of a chat: what decides which callers see it and its messages.
struct Parties<'a> {
    company_id: Uuid,
    website_id: Uuid,
    visitor: &'a str,
    agent_id: Option<Uuid>,
}

/// A visitor sees its own chats on its website, an agent those of its contracts, the company all of its own.
fn is_party(principal: &Principal, parties: &Parties<'_>) -> bool {
    principal.company_id == parties.company_id
        && match principal.role {
            Role::Consumer => principal.is_called(parties.visitor) && principal.website_id == Some(parties.website_id),
            Role::Agent => principal.agent_id.is_some() && principal.agent_id == parties.agent_id,
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

/// True if the caller is a party of the chat.
pub fn sees_chat(principal: &Principal, chat: &ChatRecord) -> bool {
    let &ChatRecord { company_id, website_id, ref visitor, agent_id, .. } = chat;
    is_party(principal, &Parties { company_id, website_id, visitor, agent_id })
}

/// True if the caller is a party of the message's chat.
pub fn sees_message(principal: &Principal, message: &MessageRecord) -> bool {
    let &MessageRecord { company_id, website_id, ref visitor, agent_id, .. } = message;
    is_party(principal, &Parties { company_id, website_id, visitor, agent_id })
}

/// A visitor sees its own races, an agent those in which it has a chat, the company all of its own.
pub fn sees_race(principal: &Principal, race: &RaceRecord) -> bool {
    principal.company_id == race.company_id
        && match principal.role {
            Role::Consumer => principal.is_called(&race.owner) && principal.website_id == Some(race.website_id),
            Role::Agent => principal.agent_id.is_some_and(|agent| race.agent_ids.contains(&agent)),
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

/// True if the contract is one of those that the caller may see some of: a visitor its website's, an agent its own, the
/// company all of its own. What a visitor is shown of them, [`Viewer`] decides.
pub fn sees_contract(principal: &Principal, contract: &ContractRecord) -> bool {
    principal.company_id == contract.company_id
        && match principal.role {
            Role::Consumer => principal.website_id == Some(contract.website_id),
            Role::Agent => principal.agent_id.is_some() && principal.agent_id == contract.agent_id,
            Role::Participant => false,
            Role::Service | Role::Admin => true,
        }
}

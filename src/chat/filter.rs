//! Which chats a list or a stream asks for, and to which of them the viewer's rights narrow it.

use ipnet::IpNet;
use uuid::Uuid;

use super::{record::ChatRecord, rights::Viewer, rules::ChatStatus};
use crate::platform::auth::Role;

/// Which chats a stream carries; what is absent matches all, what is given combines.
#[derive(Debug, Clone, Default)]
pub struct ChatFilter {
    /// The one.
    pub chat_id: Option<Uuid>,
    /// Of this race.
    pub key: Option<Uuid>,
    /// Of this contract.
    pub contract_id: Option<Uuid>,
    /// That stand so.
    pub status: Option<ChatStatus>,
}

impl ChatFilter {
    /// True if `chat` passes.
    pub fn admits(&self, chat: &ChatRecord) -> bool {
        self.chat_id.is_none_or(|id| id == chat.id)
            && self.key.is_none_or(|key| key == chat.key)
            && self.contract_id.is_none_or(|contract| contract == chat.contract_id)
            && self.status.is_none_or(|status| status == chat.status)
    }
}

/// Which chats are wanted; what is absent matches all.
#[derive(Debug, Clone, Default)]
pub struct ChatSearch {
    /// That stand so.
    pub statuses: Option<Vec<ChatStatus>>,
    /// Of this contract.
    pub contract_id: Option<Uuid>,
    /// Of this website.
    pub website_id: Option<Uuid>,
}

/// Whose chats; what is absent matches all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnChats<'a> {
    /// Of this visitor.
    pub(super) visitor: Option<&'a str>,
    /// Of this website.
    pub(super) website_id: Option<Uuid>,
    /// Of this agent.
    pub(super) agent_id: Option<Uuid>,
    /// Asked for from this address.
    pub(super) created_from: Option<IpNet>,
}

/// To whose chats a reader's rights narrow a list.
pub(super) fn own_chats(viewer: &Viewer) -> OwnChats<'_> {
    match viewer {
        Viewer::Known(principal) => match principal.role {
            Role::Consumer => {
                OwnChats { visitor: Some(&principal.subject), website_id: principal.website_id, ..OwnChats::default() }
            }
            Role::Agent => OwnChats { agent_id: principal.agent_id, ..OwnChats::default() },
            Role::Participant | Role::Service | Role::Admin => OwnChats::default(),
        },
        Viewer::FromAddress { address, .. } => OwnChats { created_from: Some(*address), ..OwnChats::default() },
        Viewer::HoldsChatId { .. } | Viewer::Public { .. } => OwnChats::default(),
    }
}

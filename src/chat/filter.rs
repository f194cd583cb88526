//! Which chats a list or a stream asks for, and to which of them the viewer's rights restrict it.

use uuid::Uuid;

use super::{record::ChatRecord, rights::Viewer, rules::ChatStatus};
use crate::platform::auth::Role;

/// Which chats a stream carries. An absent field matches all chats; the others must all match.
#[derive(Debug, Clone, Default)]
pub struct ChatFilter {
    /// The chat with this id.
    pub chat_id: Option<Uuid>,
    /// Chats of this race.
    pub key: Option<Uuid>,
    /// Chats that are offered to this contract.
    pub contract_id: Option<Uuid>,
    /// Chats of this status.
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

/// Which chats a list holds. An absent field matches all chats; the others must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ChatSearch {
    /// Chats of one of these statuses.
    pub statuses: Option<Vec<ChatStatus>>,
    /// Chats that are offered to this contract.
    pub contract_id: Option<Uuid>,
    /// Chats of this website.
    pub website_id: Option<Uuid>,
}

/// To whose chats the caller's rights restrict a list. An absent field matches all chats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct OwnChats {
    /// This visitor's chats.
    pub(super) visitor: Option<String>,
    /// Chats of this website.
    pub(super) website_id: Option<Uuid>,
    /// Chats that are offered to this agent.
    pub(super) agent_id: Option<Uuid>,
}

impl OwnChats {
    /// The same for a visitor's other name, if it has one.
    pub(super) fn of_earlier(&self, viewer: &Viewer) -> Option<Self> {
        let Viewer::Known(principal) = viewer else { return None };
        let earlier = principal.earlier.clone().filter(|_| self.visitor.is_some())?;
        Some(Self { visitor: Some(earlier), ..self.clone() })
    }
}

/// To whose chats a reader's rights restrict a list. A visitor may have [another name](OwnChats::of_earlier).
pub(super) fn own_chats(viewer: &Viewer) -> OwnChats {
    match viewer {
        Viewer::Known(principal) => match principal.role {
            Role::Consumer => OwnChats {
                visitor: Some(principal.subject.clone()),
                website_id: principal.website_id,
                ..OwnChats::default()
            },
            Role::Agent => OwnChats { agent_id: principal.agent_id, ..OwnChats::default() },
            Role::Participant | Role::Service | Role::Admin => OwnChats::default(),
        },
        // Those of one chat or race: the stream's filter names it.
        Viewer::HoldsChatId { .. } | Viewer::PinnedTo { .. } | Viewer::Public { .. } => OwnChats::default(),
    }
}

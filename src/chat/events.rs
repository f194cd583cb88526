//! The subjects of this concept in the event log, and everything that can happen to them.

use crate::platform::concept::SubjectType;

/// Subject of a chat's events.
pub const CHAT: &str = "chat";
/// Subject of a race's events; its id is the race's key.
pub const RACE: &str = "chat_race";
/// Subject of a chat's messages; its id is the chat's, its version the number of messages.
pub const MESSAGES: &str = "messages";
/// Subject of a contract's events.
pub const CONTRACT: &str = "contract";

pub(super) const CHAT_OFFERED: &str = "ChatOffered";
pub(super) const CHAT_STARTED: &str = "ChatStarted";
pub(super) const CHAT_COMPLETED: &str = "ChatCompleted";
pub(super) const CHAT_RESCINDED: &str = "ChatRescinded";
pub(super) const CHAT_CANCELED: &str = "ChatCanceled";
pub(super) const CHAT_EXPIRED: &str = "ChatExpired";
pub(super) const CHAT_MISSED: &str = "ChatMissed";
pub(super) const CHAT_UPDATED: &str = "ChatUpdated";
pub(super) const CHAT_RATED: &str = "ChatRated";
pub(super) const CHAT_REASSIGNED: &str = "ChatReassigned";
pub(super) const CHAT_REOFFERED: &str = "ChatReoffered";

pub(super) const RACE_OPENED: &str = "RaceOpened";
pub(super) const RACE_JOINED: &str = "RaceJoined";
pub(super) const RACE_WON: &str = "RaceWon";
pub(super) const RACE_FAILED: &str = "RaceFailed";
pub(super) const RACE_CANCELED: &str = "RaceCanceled";
pub(super) const RACE_EXPIRED: &str = "RaceExpired";
pub(super) const RACE_REASSIGNED: &str = "RaceReassigned";
pub(super) const RACE_REOFFERED: &str = "RaceReoffered";

pub(super) const MESSAGE_ADDED: &str = "MessageAdded";

pub(super) const CONTRACT_CREATED: &str = "ContractCreated";
pub(super) const CONTRACT_UPDATED: &str = "ContractUpdated";

/// Every subject type with its event types.
pub(super) const SUBJECTS: &[SubjectType] = &[
    SubjectType {
        name: CHAT,
        event_types: &[
            CHAT_OFFERED,
            CHAT_STARTED,
            CHAT_COMPLETED,
            CHAT_RESCINDED,
            CHAT_CANCELED,
            CHAT_EXPIRED,
            CHAT_MISSED,
            CHAT_UPDATED,
            CHAT_RATED,
            CHAT_REASSIGNED,
            CHAT_REOFFERED,
        ],
    },
    SubjectType {
        name: RACE,
        event_types: &[
            RACE_OPENED,
            RACE_JOINED,
            RACE_WON,
            RACE_FAILED,
            RACE_CANCELED,
            RACE_EXPIRED,
            RACE_REASSIGNED,
            RACE_REOFFERED,
        ],
    },
    SubjectType { name: MESSAGES, event_types: &[MESSAGE_ADDED] },
    SubjectType { name: CONTRACT, event_types: &[CONTRACT_CREATED, CONTRACT_UPDATED] },
];

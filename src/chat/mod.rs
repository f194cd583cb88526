//! Chats: a customer asks once, every free agent is offered the chat, and exactly one wins.
//!
//! ```text
//!                 createChat / createChatRace                        a race's life
//!                             │
//!      nobody on shift        ▼        every offer failed
//!   OFFLINE ◄──────────── the race ────────────► FAILED ◄─── the last offer is declined ──┐
//!      │                      │                     │                                     │
//!      └── a contract joins ──┼─────────────────────┘                                     │
//!                             ▼                                                           │
//!                          WAITING ───────────────────────────────────────────────────────┤
//!                             │                                                           │
//!      startChat: one offer   │ STARTED, the others FINISHED/RESCINDED, headline written  ├─► WON
//!      endChat, customer's last offer                    FINISHED/CANCELED                ├─► CANCELED
//!      the cap passes                                    all FINISHED/EXPIRED             └─► EXPIRED
//! ```
//!
//! WON, CANCELED and EXPIRED are final, but for a winner who vanishes at once (then WON becomes WAITING again); a chat
//! that joins then is born FINISHED with the same reason. Missed is a
//! flag on an offer, never an end. What is promised, with any number of servers, any of which may die at any
//! instruction: at most one chat of a race is STARTED; the withdrawal of the others and the first message are in the
//! same transaction; a visitor sees its own chats, an agent its contracts' chats, nobody another company's.
//!
//! - [`race`]: races and their chats, the lock that decides, timers, streams
//! - [`message`]: what is said
//! - [`contract`], [`website`]: who is asked, and where
//! - [`widget`]: the streams of widgets in the field
//! - [`rights`]: who may see what, decided from a record alone
//! - [`input`]: the bounds of what callers write

pub mod contract;
pub mod graphql;
pub mod input;
pub mod message;
pub mod race;
pub mod rights;
pub mod website;
pub mod widget;

mod changes;
mod turns;

use sqlx::PgPool;

use crate::platform::{config::ChatSettings, event::LogNotifier, timer::Alarm};
use message::batch::Posts;
use race::{answer::batch::Answers, lookup::Lookups, open::batch::Creates};
use turns::Turns;

/// Subject of a chat's events.
pub const CHAT: &str = "chat";
/// Subject of a race's events; its id is the race's key.
pub const RACE: &str = "chat_race";
/// Subject of a chat's messages; its id is the chat's, its version the number of messages.
pub const MESSAGES: &str = "messages";
/// Subject of a contract's events.
pub const CONTRACT: &str = "contract";

/// The service of this concept. Each public method is one decision: it begins, commits, rings the notifier and sets the
/// alarm; a transaction that collided with another is repeated whole.
#[derive(Debug, Clone)]
pub struct Chats {
    pool: PgPool,
    notifier: LogNotifier,
    alarm: Alarm,
    settings: ChatSettings,
    turns: Turns,
    lookups: Lookups,
    creates: Creates,
    answers: Answers,
    posts: Posts,
}

impl Chats {
    /// The service on this database.
    pub fn new(pool: PgPool, notifier: LogNotifier, alarm: Alarm, settings: ChatSettings) -> Self {
        let lookups = race::lookup::lookups(pool.clone());
        let creates = race::open::batch::creates(pool.clone(), notifier.clone(), alarm.clone(), settings.race_cap);
        let answers = race::answer::batch::answers(pool.clone(), notifier.clone());
        let posts = message::batch::posts(pool.clone(), notifier.clone());
        Self { pool, notifier, alarm, settings, turns: Turns::default(), lookups, creates, answers, posts }
    }

    /// Whether callers without a token may subscribe to `chatChanged`.
    pub fn lets_in_anonymous_widgets(&self) -> bool {
        self.settings.anonymous_widgets
    }
}

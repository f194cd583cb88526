//! Chats: a customer asks once, every agent on shift is offered the chat, and exactly one wins.
//!
//! A **race** is one request of a customer; its **chats** are the offers, one for each contract, that share its key.
//!
//! ```text
//!                 createChat / createChatRace                        a race's states
//!                             │
//!      nobody on shift        ▼        every offer failed
//!   OFFLINE ◄──────────── the race ────────────► FAILED ◄── the last offer is declined ───┐
//!      │                      │                     │                                     │
//!      └── a contract joins ──┼─────────────────────┘                                     │
//!                             ▼                                                           │
//!                          WAITING ───────────────────────────────────────────────────────┤
//!                             │                                                           │
//!      startChat: one offer   │ STARTED, the others FINISHED/RESCINDED, headline written  ├─► WON
//!      endChat, customer's last offer                    FINISHED/CANCELED                ├─► CANCELED
//!      the race's time passes                            all FINISHED/EXPIRED             └─► EXPIRED
//! ```
//!
//! WON, CANCELED and EXPIRED are final, except that a winner who vanishes at once gives way (then WON becomes WAITING
//! again, `reoffer.rs`). A chat that joins a decided race is born FINISHED with the same reason. Missed is a flag on an
//! offer, never an end.
//!
//! # Guarantees
//! They hold with any number of servers, any of which may be killed at any instruction:
//! - At most one chat of a race is STARTED. The withdrawal of the others and the first message are in the same
//!   transaction.
//! - An offer is flagged missed, and a race expires, on time and once.
//! - A visitor sees its own chats, an agent its contracts' chats, nobody another company's.
//!
//! # Where things are
//! | file | what |
//! | --- | --- |
//! | `create`, `create_race`, `start`, `end`, `update`, `cancel`, `rate` | a mutation each |
//! | `reoffer`, `reassign`, `timers` | what follows from a vanished winner, a new agent, time |
//! | `rules` | the state machine, as pure functions |
//! | `decision`, `verb` | how every mutation of a race is decided and written |
//! | `rights`, `audience` | which roles may do what, which records a caller sees; callers that are shown the same |
//! | `widget` | callers without a token: what they prove instead |
//! | `filter`, `feeds`, `list`, `loaders` | what is asked for, streams, lists, reads by id |
//! | `message`, `contract`, `website` | the smaller concepts beside the race |
//! | `sql`, `graphql` | every statement; types, resolvers, the names that deployed widgets use |

mod audience;
mod cancel;
pub mod contract;
mod create;
mod create_race;
mod decision;
mod end;
pub mod events;
mod feeds;
mod filter;
pub mod graphql;
mod list;
mod loaders;
pub mod message;
mod rate;
mod reassign;
mod record;
mod reoffer;
pub mod rights;
pub mod rules;
mod settings;
mod sql;
mod start;
mod timers;
mod update;
mod verb;
pub mod website;
mod widget;

use std::sync::Arc;

use crate::platform::{
    batch::Batches,
    concept::Concept,
    limit::{GuessLimit, Rate},
    unit::UnitOfWork,
};
pub use create::{CustomerRequest, NewChat};
pub use create_race::NewRace;
pub use events::{CHAT, CONTRACT, MESSAGES, RACE};
pub use feeds::{ChatFeed, RaceFeed, WidgetFeed};
pub use filter::{ChatFilter, ChatSearch};
pub use loaders::Loaders;
pub use record::{ChatRecord, Failure, Race, RaceRecord};
pub use settings::ChatSettings;
pub use start::StartedChat;
pub use update::ChatPatch;
use update::line_of;

/// The mutations and reads of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chats {
    work: UnitOfWork,
    settings: ChatSettings,
    loaders: Loaders,
    message_lists: message::MessageLists,
    calls: Calls,
    origins: website::WebsiteOrigins,
    visitors: website::WebsiteVisitors,
    /// Limits how many unknown chat ids a caller without a credential may name.
    guesses: Arc<GuessLimit>,
}

/// The mutations that run in batches.
#[derive(Debug, Clone)]
struct Calls {
    create_chat: Batches<create::CreateChat>,
    create_chat_race: Batches<create_race::CreateChatRace>,
    start_chat: Batches<start::StartChat>,
    end_chat: Batches<end::EndChat>,
    update_chat: Batches<update::UpdateChat>,
    cancel_chat_race: Batches<cancel::CancelChatRace>,
    create_rate: Batches<rate::RateChat>,
    create_message: Batches<message::CreateMessage>,
}

impl Chats {
    /// The concept on this database.
    pub fn new(work: UnitOfWork, settings: ChatSettings) -> Self {
        let calls = Calls {
            create_chat: Batches::new(&work),
            create_chat_race: Batches::new(&work),
            start_chat: Batches::new(&work),
            end_chat: Batches::new(&work),
            update_chat: Batches::new(&work),
            cancel_chat_race: Batches::new(&work),
            create_rate: Batches::new(&work),
            create_message: Batches::new(&work),
        };
        let guesses = Rate { at_once: settings.guesses_at_once, per_second: settings.guesses_per_second };
        let guesses = Arc::new(GuessLimit::new("guesses", guesses));
        let message_lists = message::MessageLists::default();
        let origins = website::WebsiteOrigins::new(work.pool().clone());
        let visitors = website::WebsiteVisitors::new(work.clone());
        Self { loaders: Loaders::new(&work), message_lists, work, settings, calls, origins, visitors, guesses }
    }

    /// Reads by id for resolvers.
    pub(crate) fn loaders(&self) -> &Loaders {
        &self.loaders
    }

    /// The message lists of deployed widgets.
    pub(crate) fn message_lists(&self) -> &message::MessageLists {
        &self.message_lists
    }

    /// Time until a race expires, unless it was opened with another.
    fn race_cap(&self) -> time::Duration {
        self.settings.race_cap.try_into().unwrap_or(time::Duration::MAX)
    }
}

/// What this concept registers.
pub fn concept() -> Concept {
    Concept {
        name: "chat",
        subjects: events::SUBJECTS,
        timers: timers::handlers(),
        timers_for_people: timers::FOR_PEOPLE,
        fields: rights::FIELDS,
    }
}

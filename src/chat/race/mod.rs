//! Races and their chats: the customer's request, its offers, and who won.
//!
//! Every writer takes the same locks in the same order, and decides only in statements after the last of them:
//!
//! ```text
//! contracts, for key share, ascending   (only who makes offers or moves a contract to another agent)
//!   └─ the race's row, for no key update, in a statement of its own
//!        └─ its chats, its timers, then the events
//! ```
//!
//! The race's row carries the decision. A lock on chats alone would not do: an offer that another transaction is
//! just inserting cannot be locked, and would stay out for ever when the race is decided meanwhile. Whoever offers
//! locks the race first too, so it either comes before the decision and is withdrawn by it, or finds it and is born
//! finished. A unique index on started chats is the last line of defence, never the mechanism.
//!
//! The rules themselves are in [`state`], as pure functions.
//!
//! | file | what |
//! | --- | --- |
//! | `open/` | making offers |
//! | `answer/` | `startChat`: the first answer wins |
//! | `service.rs` | a race under its lock; the end of a chat |
//! | `reoffer/` | a winner who vanished gives way to the other offers |
//! | `edit/` | cancel, updates, ratings |
//! | `lookup.rs` | a chat by its id |
//! | `search/` | lists; chats found by their id alone |
//! | `timers.rs` | missed, expired |
//! | `feed/` | what streams show |

pub(super) mod answer;
mod edit;
mod feed;
pub mod graphql;
mod loader;
pub(super) mod lookup;
pub mod mutation;
pub mod objects;
pub(super) mod open;
mod record;
mod reoffer;
mod search;
mod service;
mod sql;
pub mod state;
mod timers;

pub use answer::Started;
pub use edit::{CancelOutcome, ChatEdit};
pub(super) use feed::operation;
pub use feed::{ChatFeed, ChatFilter, RaceFeed, WidgetFeed};
pub use open::{CustomerRequest, NewChat, NewRace};
pub use record::{ChatRecord, Failure, Race, RaceRecord};
pub use search::ChatSearch;
pub(super) use sql::{chats, find_chat, now};
pub use state::{ChatStatus, CloseReason, RaceState, Side, StartOutcome};
pub use timers::{CapTimer, MissTimer};

pub(crate) use loader::RaceChats;
pub(super) use service::reassign;

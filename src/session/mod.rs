//! Sessions: everybody in a video session is on one provider, chosen once, changed by all together.
//!
//! ```text
//!                    selectSessionProvider                 coordinateProviderRecovery(epoch, failed provider)
//!  no provider ("none", epoch 0) ──► provider, epoch 1 ──────────────────────────► next provider, epoch + 1
//!        ▲ updateUserSessionState        │    ▲ first to ask: new                    │   SWITCHED once,
//!        │ reopens                       │    └ all others: the same answer          │   JOINED for all others,
//!      ended ◄───── nobody for an hour ──┘                                           ▼   STALE if it is late
//!        └──────── selectSessionProvider: a new choice, with the next epoch      (failed one cools down)
//! ```
//!
//! An **epoch** is the time of one choice. It is raised by one at each choice and never falls, because rows of sessions
//! are never deleted. Reports carry the epoch that they are about, so a late one is known to be late, also when the
//! session has come back to the same provider since.
//!
//! # Guarantees
//! They hold with any number of servers and SQL callers, any of which may be killed at any instruction:
//! - One provider in an epoch. The row lock of the session decides; a joiner after the first takes no lock.
//! - Recovery is compare-and-set on (epoch, failed provider): one failure, however many report it, is one switch.
//! - A participant silent for 30 s is disconnected within a second of being due, once. Silence during an outage of all
//!   servers or of the database counts for nobody.
//! - A heartbeat is acknowledged after its commit is flushed, and writes no event.
//!
//! # Where decisions are
//! In SQL functions (migrations 0500 and following), because SQL callers use them too: the mutations here check rights and
//! call the same functions. These append their events themselves, as the last statement under the session's lock.
//!
//! # Failure modes
//! - The database is away: `UNAVAILABLE`. Nobody decides alone; clients keep the provider that they have.
//! - A session's lock is held for over 2 s: `UNAVAILABLE`, nothing was changed.
//! - All servers are away: calls from SQL work; nobody is disconnected, no alert is raised, no score moves until one is
//!   back.
//!
//! # Where things are
//! | file | what |
//! | --- | --- |
//! | `select`, `recover`, `state`, `health`, `heartbeat`, `providers` | a mutation each, with its reads |
//! | `duties` | what servers do for all sessions: presence, scores, alerts, clean-up |
//! | `rights` | which callers reach which sessions |
//! | `feeds`, `list`, `loaders` | streams; lists; reads for many resolvers |
//! | `call` | calls of SQL functions, and what they refuse |
//! | `sql`, `graphql` | every statement; types and resolvers |

mod call;
mod duties;
mod feeds;
pub mod graphql;
mod health;
mod heartbeat;
mod list;
mod loaders;
mod providers;
mod record;
mod recover;
pub mod rights;
pub mod rules;
mod select;
mod settings;
mod sql;
mod state;

use crate::platform::{
    batch::Batches,
    concept::{Concept, SubjectType},
    unit::UnitOfWork,
};
pub(crate) use duties::tasks;
pub use health::{Overview, Reported, Stale, Stats, UserHealth};
pub use list::SessionPlace;
pub use record::{AlertRecord, ProviderRecord, QualityRecord, SessionRecord, UserRecord};
pub use recover::{Recovered, Recovery};
pub use select::Choice;
pub use settings::SessionSettings;
pub use state::UserState;

/// A session and its participants' states.
pub const SESSION: &str = "session";
/// An alert of a session; its id is `<session>:<type>`.
pub const ALERT: &str = "session_alert";
/// The recommendation of a session.
pub const QUALITY: &str = "session_quality";
/// A provider of a company; its id is its name.
pub const PROVIDER: &str = "session_provider";

/// What can happen to sessions.
const SUBJECTS: &[SubjectType] = &[
    SubjectType {
        name: SESSION,
        event_types: &[
            "SessionCreated",
            "SessionProviderSelected",
            "SessionProviderSwitched",
            "SessionReconnectionEnded",
            "SessionReopened",
            "SessionEnded",
            "SessionUserJoined",
            "SessionUserChanged",
            "SessionUserLeft",
            "SessionUserDisconnected",
            "SessionUsersDisconnected",
            "SessionUserReconnected",
        ],
    },
    SubjectType { name: ALERT, event_types: &["SessionAlertRaised", "SessionAlertChanged", "SessionAlertCleared"] },
    SubjectType { name: QUALITY, event_types: &["SessionQualityJudged"] },
    SubjectType { name: PROVIDER, event_types: &["SessionProviderScored", "SessionProviderSet"] },
];

/// The mutations and reads of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    work: UnitOfWork,
    loaders: loaders::Loaders,
    heartbeats: Batches<heartbeat::Heartbeat>,
}

impl Sessions {
    /// The concept on this database.
    pub fn new(work: UnitOfWork) -> Self {
        Self { loaders: loaders::Loaders::new(&work), heartbeats: Batches::new(&work), work }
    }
}

/// What this concept registers.
pub fn concept() -> Concept {
    Concept { name: "session", subjects: SUBJECTS, timers: Vec::new(), timers_for_people: &[], fields: rights::FIELDS }
}

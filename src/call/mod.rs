//! Calls: a phone call has one life, whatever order its news comes in; it is hung up once.
//!
//! ```text
//! registerCall ─► RINGING ─► IN_PROGRESS ─► ENDING ─► ENDED
//!                   ▲   news: updateCallStatus      ▲
//!                   └── parked news of its name     └── hangUpCall, scheduleHangUp: somebody must hang it up
//! ```
//!
//! # Guarantees
//! They hold with any number of servers, any of which may be killed at any instruction:
//! - News is merged: late, repeated or reordered news never moves a call back, and every order gives the same call.
//! - News of a name that no call has yet is kept, and applied when a call takes the name.
//! - Of any number of requests to hang a call up one begins it. A hang-up that arrives before "ringing" still ends the call.
//! - A call has one hang-up timer: setting it replaces the earlier one.
//! - The generation rises once, when the call begins to end.
//! - At most one operation of a kind runs on a call, and none begins on one that ends. Whoever got BEGUN acts; one that
//!   dies is replaced when its lease ends.
//! - A transcript is closed exactly once, after the operations that run, or after a bounded wait for them. What was
//!   appended meanwhile is in it; nothing is appended later.
//!
//! # Failure modes
//! - A reporter's clock is ahead: news counts as at most five minutes in the future.
//! - News of unknown names fills up: a company keeps at most 10,000, then its reporters get `RATE_LIMITED`.
//!
//! | file | what |
//! | --- | --- |
//! | `rules` | the life of a call, as pure functions |
//! | `locked` | lock, read, write, for every verb |
//! | `register`, `report`, `hang_up`, `append`, `finalize` | the mutations |
//! | `end`, `dial` | ends of calls, and begins of DIAL, that arrive together |
//! | `operation`, `begin_operation`, `complete_operation` | who dials, hangs up, speaks, streams, transfers |
//! | `list`, `feeds` | queries, streams |
//! | `timers`, `prune` | what follows from time |

mod answer;
mod append;
mod begin_operation;
mod complete_operation;
mod dial;
mod end;
mod feeds;
mod finalize;
pub mod graphql;
mod hang_up;
mod list;
mod loaders;
pub(crate) mod locked;
mod operation;
mod prune;
pub(crate) mod record;
mod register;
mod report;
pub mod rights;
pub mod rules;
mod settings;
pub(crate) mod sql;
mod timers;

use time::Duration;
use tokio_util::sync::CancellationToken;

use crate::platform::{batch::Batches, concept::Concept, event::Hub, task::Task, unit::UnitOfWork};
pub use append::{CallMessage, NewCallMessage};
pub use begin_operation::NewOperation;
pub use complete_operation::{Completed, CompletedOperation};
pub use feeds::{CallFeed, CallFilter, Work};
pub use finalize::FinalizeOutcome;
pub use list::CallSearch;
pub use operation::{Operation, OperationState};
pub use prune::prune;
pub use record::{CALL, CALL_MESSAGES, CALL_OPERATIONS, CallName, CallRecord};
pub use register::NewCall;
pub use report::{Report, ReportOutcome};
pub use settings::CallSettings;

/// The mutations and reads of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calls {
    work: UnitOfWork,
    settings: CallSettings,
    /// Lease of an operation that names none.
    lease: Duration,
    loaders: loaders::Loaders,
    appends: Batches<append::AppendMessage>,
    ends: Batches<end::End>,
    dials: Batches<dial::Dial>,
    /// Wakes whoever waits for running operations.
    hub: Hub,
    /// Cancelled when the server begins to drain: whoever waits then leaves.
    stopping: CancellationToken,
}

impl Calls {
    /// The concept on this database. `lease` is that of an operation that names none; `stopping` is cancelled when the server
    /// begins to drain.
    pub fn new(
        work: UnitOfWork,
        settings: CallSettings,
        lease: std::time::Duration,
        hub: Hub,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            loaders: loaders::Loaders::new(&work),
            appends: Batches::new(&work),
            ends: Batches::new(&work),
            dials: Batches::new(&work),
            work,
            lease: lease.try_into().unwrap_or(Duration::MAX),
            settings,
            hub,
            stopping,
        }
    }

    /// Lease of an operation that names none.
    fn lease(&self) -> Duration {
        self.lease
    }
}

/// What this concept registers.
pub fn concept() -> Concept {
    Concept {
        name: "call",
        subjects: record::SUBJECTS,
        timers: timers::handlers(),
        timers_for_people: &[],
        fields: rights::FIELDS,
    }
}

/// The background tasks of this concept.
pub fn tasks(work: &UnitOfWork, settings: &CallSettings) -> Vec<Task> {
    let (work, retention) = (work.clone(), settings.call_news_retention);
    vec![Task::new("call_prune", move |stop| prune::run(work, retention, stop))]
}

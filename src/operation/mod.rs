//! Operations: calls on one chat that oppose each other never overlap.
//!
//! A caller that is about to start or end a chat first enters the chat's **line**. One caller holds it at a time. A call
//! of the opposite type waits its turn (a *coordination hold*); a call of the same type is refused at once.
//!
//! ```text
//! coordinateChatCall ─► free ──────────────────────────► grant: lease and fencing token ─► … ─► completeChatCall
//!                   └─► opposite call holds it ─► waits ──► granted by the write that releases it
//!                   └─► same type holds it ─► OPERATION_IN_PROGRESS
//! startChat, endChat, updateChat ─► pass through the same line, see `pass`
//! ```
//!
//! # Guarantees
//! They hold with any number of servers, any of which may be killed at any instruction:
//! - At most one holder. The write that releases the line names the next one, so that no newcomer slips in between.
//! - First come, first served: places are numbered by the line.
//! - A token grows with each grant. A stale token completes nothing.
//! - A holder that dies loses the line when its lease ends. A waiter whose server has died is passed over; one that was
//!   granted the line at that moment loses it after 5 s.
//! - A request is granted once. A repeat while it holds gets the same grant; one that comes later is refused.
//! - Each wait has one event `…Hold_Start` and then one of `…Hold_Complete` and `…Hold_Failed`, in the statement that
//!   changes the line. A grant without a wait has none.
//!
//! # Failure modes
//! - A holder is paused past its lease and goes on: its token is stale, so what it does here is refused. What it does
//!   elsewhere cannot be.
//! - The database is away: callers get `UNAVAILABLE`, and whoever waits keeps its place until its time has passed.
//!
//! | file | what |
//! | --- | --- |
//! | `rules` | the line as a pure state machine |
//! | `verb` | how every verb runs, and what its decision rests on |
//! | `line` | a line as it was read, while it is decided, and as it is written |
//! | `coordinate`, `complete` | a mutation each |
//! | `wait` | a call in the line, and how it leaves |
//! | `pass` | how `startChat` and `endChat` meet the line |
//! | `timers`, `prune` | what follows from time |
//! | `record`, `feeds` | the events of a line and their stream |

mod complete;
mod coordinate;
mod feeds;
pub mod graphql;
mod line;
mod pass;
mod prune;
mod record;
pub mod rights;
pub mod rules;
mod settings;
mod sql;
mod timers;
mod verb;
mod wait;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::verb::LineCall;
use crate::platform::{
    batch::Batches,
    concept::{Concept, SubjectType},
    event::Hub,
    task::Task,
    unit::UnitOfWork,
};
pub use complete::Completion;
pub use coordinate::NewRequest;
pub use feeds::CoordinationFeed;
pub use line::LineKey;
pub use pass::{GrantToken, Pass};
pub use prune::prune;
pub use record::{Hold, OPERATION};
pub use settings::OperationSettings;
pub use sql::{HolderRow, holders};

/// The mutations of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Gathers calls on lines.
    calls: Batches<LineCall>,
    settings: OperationSettings,
    /// This server, as its waiters name it.
    server_id: Uuid,
    /// Wakes waiters, by the event of their own attempt.
    hub: Hub,
    /// Cancelled when the server begins to drain: waiters then leave.
    stopping: CancellationToken,
}

impl Operations {
    /// The concept on this database. `stopping` is cancelled when the server begins to drain.
    pub fn new(
        work: &UnitOfWork,
        settings: OperationSettings,
        server_id: Uuid,
        hub: Hub,
        stopping: CancellationToken,
    ) -> Self {
        Self { calls: Batches::new(work), settings, server_id, hub, stopping }
    }
}

/// What this concept registers.
pub fn concept(settings: &OperationSettings) -> Concept {
    Concept {
        name: "operation",
        subjects: &[SubjectType { name: OPERATION, event_types: record::EVENT_TYPES }],
        timers: timers::handlers(settings),
        timers_for_people: &[],
        fields: rights::FIELDS,
    }
}

/// The background tasks of this concept.
pub fn tasks(work: &UnitOfWork) -> Vec<Task> {
    let work = work.clone();
    vec![Task::new("operation_prune", move |stop| prune::run(work, stop))]
}

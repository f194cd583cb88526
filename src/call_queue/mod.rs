//! The call queue: no call is turned away. A call gets a slot, or a place in a fair line.
//!
//! ```text
//! initiateCall ─► slot free ──────────────────────────► RESERVED ─► dialled, rings, … ─► ENDED
//!        └─ none free ─► call_queue: QUEUED, a number       ▲                              │ call_release: slot freed,
//!                             │                             │                              │ item done or tried again
//!                             └────── call_dispatch ────────┘◄─────────────────────────────┘ same transaction
//! ```
//!
//! # One lock
//! The row of `call_slots` is the one lock of a company's queue. Everything that takes or frees a slot, or that enters,
//! leaves, opens or closes a line, takes it first, in a statement of its own, and ends in the same `call_dispatch`. Users,
//! lines, items and campaigns are data under it. So no transaction leaves a free slot beside an item that may have it, and
//! none goes above a limit. The decisions are SQL functions (migrations `call_…`), because SQL callers use them too.
//!
//! One row that every call locks twice would be a bottleneck. So calls that are made together share a transaction
//! (`initiate`), and so do calls that end together (`call::end`): they are freed and given away by one statement each.
//!
//! # Order
//! - Within a user: direct calls by arrival; then campaigns' calls, by weighted fair queueing between campaigns. If a
//!   user's campaigns have waited for longer than the setting `aging`, the head of one of them is next.
//! - Between users that wait for slots of the company: in turns. A user that begins to wait comes behind those that wait
//!   already, and before the next turn of each.
//!
//! # Place
//! An item's number in its line never changes. Its place is its number less the head of the line, less the items that left
//! the line between them, which are counted by blocks. So a place costs the same in a line of a thousand and of a million.
//!
//! # Slots are leases
//! News of a call and `renewCalls` renew its slot. A slot that is silent for the length of a lease is asked about on
//! `callHangUps`; after one more its call ends as `LEASE_EXPIRED`. Silence while no server lived does not count.
//!
//! # Failure modes
//! - A server dies after its commit: the event log has the dispatched calls, and dialers hear of them from another server.
//! - No dialer is there: reserved calls end as `LEASE_EXPIRED`, and their items are tried again a minute later, without
//!   counting as tries.
//! - A dispatch stops at 500 calls and notes that it is behind: a timer that is due at once goes on.
//! - Two servers have different settings: those of the one that started last hold. The users of every company are settled
//!   for them in steps; a step that a crash left out is made by the next sweep.
//! - Something is left all the same: a sweep dispatches once a minute.
//!
//! | file | what |
//! | --- | --- |
//! | `slots` | lock, take, free, dispatch: what every verb on slots uses, also those of `call` |
//! | `initiate`, `cancel`, `limits`, `renew` | the mutations |
//! | `status`, `item`, `list`, `reads`, `live` | queries, streams |
//! | `wait` | estimates of waiting times, as pure functions |
//! | `campaign` | campaigns: windows, contacts |
//! | `sample` | once a minute what waits and runs; violations of priority; gauges |
//! | `timers`, `sweep` | what follows from time |
//! | `rest` | the façade for older clients |

pub mod campaign;
mod cancel;
mod cancel_all;
pub mod graphql;
mod initiate;
mod item;
mod limits;
mod list;
mod live;
pub mod number;
mod reads;
mod renew;
pub mod rest;
pub mod rights;
mod sample;
mod settings;
pub(crate) mod slots;
mod sql;
mod status;
mod sweep;
mod timers;
pub mod wait;

use crate::platform::{
    batch::Batches,
    concept::{Concept, SubjectType},
    unit::UnitOfWork,
};

pub use campaign::{CampaignPatch, CampaignRecord, CampaignStatus, ContactFailure, Enqueued, NewCampaign, NewContact};
pub use cancel::CancelOutcome;
pub use cancel_all::{CanceledCount, CanceledLines};
pub use initiate::{Initiated, NewCall};
pub use item::{QueueBlock, QueueItem, QueueStatus};
pub use limits::{CALL_LIMITS, LimitsRecord};
pub use list::{QueueUser, UserPlace};
pub use live::QueueHead;
pub use renew::Renewed;
pub use sample::{Sample, sample};
pub use settings::CallQueueSettings;
pub(crate) use sql::{calls_of_items, undispatched_calls};
pub use status::Status;
pub(crate) use sweep::tasks;

/// Subject of the timers of a company's queue; its id is the company's. It has no events: its items' calls have.
pub const CALL_QUEUE: &str = "call_queue";

/// The mutations and reads of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CallQueue {
    work: UnitOfWork,
    initiating: Batches<initiate::Initiate>,
    loaders: item::Loaders,
    reads: reads::QueueReads,
    campaign_reads: campaign::CampaignReads,
    live_items: live::LiveItems,
    watched: live::Watched,
    live_queues: live::LiveQueues,
}

impl CallQueue {
    /// The concept on this database.
    pub fn new(work: UnitOfWork) -> Self {
        Self {
            initiating: Batches::new(&work),
            loaders: item::Loaders::new(&work),
            reads: reads::QueueReads::new(&work),
            campaign_reads: campaign::CampaignReads::new(&work),
            live_items: live::LiveItems::default(),
            watched: live::Watched::default(),
            live_queues: live::LiveQueues::default(),
            work,
        }
    }
}

/// What this concept registers.
pub fn concept() -> Concept {
    Concept {
        name: "call_queue",
        subjects: &[SubjectType { name: CALL_QUEUE, event_types: &[] }, limits::SUBJECT, campaign::record::SUBJECT],
        timers: timers::handlers().into_iter().chain(campaign::handlers()).collect(),
        timers_for_people: &[],
        fields: rights::FIELDS,
    }
}

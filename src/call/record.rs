//! The flat record of a call: the row, the payload of its events, and what the API shows.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::rules::{CallStatus, CallType, EndReason};
use crate::platform::{
    concept::SubjectType,
    unit::{Lines, Record},
};

/// Subject of a call's events.
pub const CALL: &str = "call";
/// Subject of the operations on a call; its id is the call's.
pub const CALL_OPERATIONS: &str = "call_operations";

/// Purpose of the timer that ends the leases of operations.
pub(crate) const EXPIRE: &str = "expire";
/// Subject of a call's transcript; its id is the call's.
pub const CALL_MESSAGES: &str = "call_messages";

/// Purpose of the timer that finalizes a call.
pub(crate) const FINALIZE: &str = "finalize";
/// How much later the timer finalizes a call than the requests that wait for it.
const FINALIZE_GRACE: Duration = Duration::seconds(1);
/// Purpose of the timer that hangs a call up.
pub(crate) const HANG_UP: &str = "hang_up";
/// Purpose of the timer that has a call hung up again.
pub(crate) const RETRY_HANG_UP: &str = "retry_hang_up";

pub(crate) const CALL_REGISTERED: &str = "CallRegistered";
pub(crate) const CALL_REPORTED: &str = "CallReported";
pub(crate) const CALL_HANG_UP_REQUESTED: &str = "CallHangUpRequested";
pub(crate) const CALL_HANG_UP_SCHEDULED: &str = "CallHangUpScheduled";
pub(crate) const CALL_CANCELED: &str = "CallCanceled";
pub(crate) const CALL_QUEUED: &str = "CallQueued";
pub(crate) const CALL_DISPATCHED: &str = "CallDispatched";
pub(crate) const CALL_ASKED: &str = "CallAsked";
pub(crate) const CALL_RENEWED: &str = "CallRenewed";
pub(crate) const CALL_LEASE_EXPIRED: &str = "CallLeaseExpired";
pub(crate) const CALL_OPERATION_CHANGED: &str = "CallOperationChanged";

pub(crate) const CALL_FINALIZE_REQUESTED: &str = "CallFinalizeRequested";
pub(crate) const CALL_FINALIZED: &str = "CallFinalized";

pub(crate) const MESSAGE_ADDED: &str = "CallMessageAdded";

pub(crate) const OPERATION_ABANDONED: &str = "CallOperationAbandoned";
pub(crate) const OPERATION_BEGUN: &str = "CallOperationBegun";
pub(crate) const OPERATION_COMPLETED: &str = "CallOperationCompleted";
pub(crate) const OPERATION_EXPIRED: &str = "CallOperationExpired";

/// Every subject type with its event types.
pub(crate) const SUBJECTS: &[SubjectType] = &[
    SubjectType {
        name: CALL,
        event_types: &[
            CALL_REGISTERED,
            CALL_REPORTED,
            CALL_HANG_UP_REQUESTED,
            CALL_HANG_UP_SCHEDULED,
            CALL_CANCELED,
            CALL_QUEUED,
            CALL_DISPATCHED,
            CALL_ASKED,
            CALL_RENEWED,
            CALL_LEASE_EXPIRED,
            CALL_OPERATION_CHANGED,
            CALL_FINALIZE_REQUESTED,
            CALL_FINALIZED,
        ],
    },
    SubjectType {
        name: CALL_OPERATIONS,
        event_types: &[OPERATION_BEGUN, OPERATION_COMPLETED, OPERATION_EXPIRED, OPERATION_ABANDONED],
    },
    SubjectType { name: CALL_MESSAGES, event_types: &[MESSAGE_ADDED] },
];

/// One phone call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct CallRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// Our id; a call keeps it for life.
    pub id: Uuid,
    /// The provider's name for it; the first one for ever.
    pub call_control_id: Option<String>,
    /// Whose call it is.
    pub user_id: String,
    /// Who speaks on the company's side, by an id of its own.
    pub agent_id: String,
    /// Direct or a campaign's.
    pub call_type: CallType,
    /// Set if and only if it is a campaign's.
    pub campaign_id: Option<Uuid>,
    /// The other side.
    pub phone_number: Option<String>,
    /// The company's own name for the other side.
    pub contact_id: Option<String>,
    /// The name of the other side.
    pub contact_name: Option<String>,
    /// Carried, not interpreted.
    pub user_data: Option<Value>,
    /// Which try this is.
    pub attempt: i32,
    /// The other side called.
    pub inbound: bool,
    /// Moves only forward.
    pub status: CallStatus,
    /// Set if and only if it has ended.
    pub end_reason: Option<EndReason>,
    /// The smallest reason that was told.
    pub told_reason: Option<EndReason>,
    /// When the news happened that gave that reason.
    #[serde(with = "time::serde::rfc3339::option")]
    pub told_at: Option<OffsetDateTime>,
    /// The earliest news of the end without a reason.
    #[serde(with = "time::serde::rfc3339::option")]
    pub untold_at: Option<OffsetDateTime>,
    /// Somebody must hang it up at the provider.
    pub pending_hang_up: bool,
    /// A dialer holds DIAL, or has completed it.
    pub dialing: bool,
    /// DIAL was completed.
    pub dialed: bool,
    /// A dialer holds `HANG_UP`.
    pub hanging_up: bool,
    /// `HANG_UP` was completed. If the end is not reported until then, somebody must hang up again.
    #[serde(with = "time::serde::rfc3339::option")]
    pub hung_up_until: Option<OffsetDateTime>,
    /// Nothing was heard of it for long: dialers are asked about it.
    #[serde(default)]
    pub asked: bool,
    /// Raised once, when the call begins to end.
    pub generation: i32,
    /// Raised by one at each event of the subject `call`.
    pub version: i32,
    /// When it was queued.
    #[serde(with = "time::serde::rfc3339::option")]
    pub queued_at: Option<OffsetDateTime>,
    /// Earliest time at which it is known to have rung.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// Earliest time at which it is known to have been in progress.
    #[serde(with = "time::serde::rfc3339::option")]
    pub answered_at: Option<OffsetDateTime>,
    /// The time of `end_reason`.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// When it will be hung up.
    #[serde(with = "time::serde::rfc3339::option")]
    pub hang_up_at: Option<OffsetDateTime>,
    /// When finalizing waits no longer for running operations.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finalize_at: Option<OffsetDateTime>,
    /// After that nothing is written into it.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finalized_at: Option<OffsetDateTime>,
    /// Operations that had not completed when it was finalized.
    pub abandoned: i32,
    /// End of the lease of its slot.
    #[serde(with = "time::serde::rfc3339::option")]
    pub lease_expires_at: Option<OffsetDateTime>,
    /// When it became known.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl CallRecord {
    /// The bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.call_control_id, &self.phone_number, &self.contact_id, &self.contact_name];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let user_data = self.user_data.as_ref().map_or(0, |data| data.to_string().len());
        size_of::<Self>() + texts + self.user_id.len() + self.agent_id.len() + user_data
    }

    /// True if the call waits for somebody to dial it.
    pub fn is_to_dial(&self) -> bool {
        self.status == CallStatus::Reserved && self.call_control_id.is_none() && !self.dialing
    }

    /// True if somebody dials or has dialled the call, or it began at the provider.
    pub fn is_dialled(&self) -> bool {
        self.dialing || self.dialed || self.call_control_id.is_some() || self.status > CallStatus::Reserved
    }

    /// True if the call has ended because nothing was heard of it. The provider may know better.
    pub fn is_given_up(&self) -> bool {
        self.status == CallStatus::Ended && self.end_reason == Some(EndReason::LeaseExpired)
    }

    /// True if a dialer may hang the call up, or does, or has done it.
    pub fn has_hang_up(&self) -> bool {
        self.pending_hang_up && (self.status == CallStatus::Ending || self.is_given_up())
    }

    /// True if the call waits for somebody to hang it up, or to say whether it is alive.
    pub fn is_to_hang_up(&self) -> bool {
        let is_asked = self.asked && self.status != CallStatus::Ended;
        is_asked || self.has_hang_up() && !self.hanging_up && self.hung_up_until.is_none()
    }
}

impl Record for CallRecord {
    const SUBJECT_TYPE: &'static str = CALL;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        let retry = self.hung_up_until.filter(|_| self.status != CallStatus::Ended);
        let timers = [
            self.hang_up_at.map(|at| (HANG_UP, at)),
            retry.map(|at| (RETRY_HANG_UP, at)),
            // Requests that wait come first: one of them gets FINALIZED.
            self.finalize_at.map(|at| (FINALIZE, at + FINALIZE_GRACE)),
        ];
        timers.into_iter().flatten().collect()
    }

    fn scopes(&self) -> Vec<(&'static str, String)> {
        let mut scopes = vec![("userId", self.user_id.clone())];
        scopes.extend(self.call_control_id.clone().map(|name| ("callControlId", name)));
        scopes.extend(self.campaign_id.map(|campaign| ("campaignId", campaign.to_string())));
        scopes
    }
}

/// What names a call in a request: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum CallName {
    /// Our id, which every call has.
    Id(Uuid),
    /// The provider's name.
    ControlId(String),
}

impl CallName {
    /// Where a verb on this call waits before it takes a connection; `caller`: the claim `sub`.
    ///
    /// Verbs wait there in the order in which they came. So news, messages and all else that one socket sends about one
    /// call without waiting take effect in its order, if the socket names the call in one way.
    ///
    /// A call that is named in two ways has two lines, and what is sent to one of them may pass what waits in the other. To
    /// have one, a name would have to be resolved before its request waits: by a read in front of every request, or from
    /// names that are kept in memory. The first would need a line of its own, to keep the order of the socket. With the
    /// second a name would move to another line when it becomes known, past requests that wait in the one before.
    pub(super) fn lines(&self, company_id: Uuid, caller: &str) -> Lines {
        Lines { subject: Some((company_id, self.lane())), caller: Some((company_id, caller.to_owned())) }
    }

    /// Stands for the call in this process: the same for the same name.
    pub(super) fn lane(&self) -> Uuid {
        match self {
            Self::Id(id) => *id,
            Self::ControlId(name) => Lines::id_of(&["call", name]),
        }
    }

    /// As the owner of idempotency keys that are of a call and not of a caller.
    pub(super) fn owner(&self) -> String {
        match self {
            Self::Id(id) => format!("call:{id}"),
            Self::ControlId(name) => format!("name:{name}"),
        }
    }
}

//! The life of a call, as pure functions.
//!
//! ```text
//! QUEUED ─► RESERVED ─► RINGING ─► IN_PROGRESS ─► ENDING ─► ENDED       news may skip states, never go back
//!    └──────────┴── hang-up before anybody dialled: ENDED at once          ENDED absorbs
//!                          └────────────┴── hang-up: ENDING, and somebody must hang up
//! ```
//! News of one call is merged, whatever its order and however often it comes:
//! - the status is the furthest that was reported;
//! - times are the earliest that were reported;
//! - the end's reason is that of the smallest (time, place in the list of reasons). An end without a reason counts as
//!   COMPLETED if the call is ever known to have been answered, else as FAILED.
//!
//! Each of these is a minimum or a maximum, so any permutation with repeats of the same news gives the same call. After
//! it was finalized only its status moves on: a call that has ended by then keeps everything.
//!
//! One thing is not merged, because it depends on what was told after the call had been given up ([`hear_again`]): a call
//! that ended `LEASE_EXPIRED` and is heard of later lives, so somebody must hang it up.

pub mod work;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::record::CallRecord;

/// Who chose the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallType {
    /// A user asked for it; goes before campaigns.
    Direct,
    /// A campaign's contact; goes behind direct calls.
    Campaign,
}

/// How far a call has come. The order is the order of its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, async_graphql::Enum,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallStatus {
    /// It waits for a slot.
    Queued,
    /// It has a slot and is to be dialled.
    Reserved,
    /// It rings at the other side, or was begun there.
    Ringing,
    /// It was answered.
    InProgress,
    /// It is being ended; nothing may begin on it.
    Ending,
    /// It is over.
    Ended,
}

impl CallStatus {
    /// As in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Reserved => "RESERVED",
            Self::Ringing => "RINGING",
            Self::InProgress => "IN_PROGRESS",
            Self::Ending => "ENDING",
            Self::Ended => "ENDED",
        }
    }

    /// True if nothing may begin on the call any more.
    pub fn is_over(self) -> bool {
        self >= Self::Ending
    }
}

/// Why a call ended. The order decides between reasons of the same time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, async_graphql::Enum,
)]
#[graphql(name = "CallEndReason")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndReason {
    /// It was answered and has ended.
    Completed,
    /// The line was busy.
    Busy,
    /// It rang and nobody answered.
    NoAnswer,
    /// It was answered, and nobody spoke.
    NoResponse,
    /// It could not be set up, or broke off.
    Failed,
    /// The other side or the provider refused it.
    Rejected,
    /// A machine answered.
    Voicemail,
    /// It goes on elsewhere.
    Transferred,
    /// It was canceled before it was dialled.
    Canceled,
    /// Nothing was heard of it for too long.
    LeaseExpired,
}

impl EndReason {
    /// As in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Busy => "BUSY",
            Self::NoAnswer => "NO_ANSWER",
            Self::NoResponse => "NO_RESPONSE",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
            Self::Voicemail => "VOICEMAIL",
            Self::Transferred => "TRANSFERRED",
            Self::Canceled => "CANCELED",
            Self::LeaseExpired => "LEASE_EXPIRED",
        }
    }
}

/// A report about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// What was reported.
    pub status: CallStatus,
    /// Why it ended, if it did and the reporter knows.
    pub end_reason: Option<EndReason>,
    /// When it happened.
    pub occurred_at: OffsetDateTime,
}

/// Moves a time back to `other`, if it is later or not known.
fn keep_earliest(time: &mut Option<OffsetDateTime>, other: OffsetDateTime) {
    *time = Some(time.map_or(other, |time| time.min(other)));
}

/// Merges `news` into the call. The caller raises the version if the record is then another one.
pub fn merge(call: &mut CallRecord, news: &News) {
    let is_closed = call.finalized_at.is_some() && call.status == CallStatus::Ended;
    if is_closed || news.status <= CallStatus::Reserved {
        return;
    }
    let &News { status, end_reason, occurred_at } = news;
    if matches!(status, CallStatus::Ringing | CallStatus::InProgress) {
        keep_earliest(&mut call.started_at, occurred_at);
    }
    if status == CallStatus::InProgress {
        keep_earliest(&mut call.answered_at, occurred_at);
    }
    if status == CallStatus::Ended {
        match end_reason {
            None => keep_earliest(&mut call.untold_at, occurred_at),
            Some(reason) => {
                let told = call
                    .told_at
                    .zip(call.told_reason)
                    .map_or((occurred_at, reason), |told| told.min((occurred_at, reason)));
                (call.told_at, call.told_reason) = (Some(told.0), Some(told.1));
            }
        }
    }
    move_to(call, status);
    settle_end(call);
}

/// Moves the call forward to `status`, if it is not that far.
fn move_to(call: &mut CallRecord, status: CallStatus) {
    if status.is_over() && !call.status.is_over() {
        call.generation += 1;
        call.hang_up_at = None;
    }
    call.status = call.status.max(status);
}

/// The reason and the time of the end follow from all news of it.
fn settle_end(call: &mut CallRecord) {
    if call.status != CallStatus::Ended {
        return;
    }
    let untold = if call.answered_at.is_some() { EndReason::Completed } else { EndReason::Failed };
    let ends = [call.told_at.zip(call.told_reason), call.untold_at.map(|at| (at, untold))];
    let end = ends.into_iter().flatten().min();
    (call.ended_at, call.end_reason) = (end.map(|end| end.0), end.map(|end| end.1));
}

/// A call that was given up lives after all: somebody must hang it up, again if it was hung up before.
pub fn hear_again(call: &mut CallRecord, news: &News) {
    let is_live = matches!(news.status, CallStatus::Ringing | CallStatus::InProgress);
    if is_live && call.is_given_up() && call.ended_at.is_some_and(|ended_at| ended_at < news.occurred_at) {
        call.pending_hang_up = true;
        call.hung_up_until = call.hung_up_until.filter(|until| news.occurred_at <= *until);
    }
}

/// What became of asking to hang a call up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, async_graphql::Enum)]
pub enum HangUpOutcome {
    /// This request began the hang-up.
    Initiated,
    /// Another one had begun it.
    AlreadyPending,
    /// The call is over.
    AlreadyEnded,
    /// No call of that name is known; it will be hung up when one takes the name.
    Parked,
}

/// Somebody asks to hang the call up.
pub fn hang_up(call: &mut CallRecord, now: OffsetDateTime) -> HangUpOutcome {
    match call.status {
        CallStatus::Ended => HangUpOutcome::AlreadyEnded,
        CallStatus::Queued | CallStatus::Reserved if !call.is_dialled() => {
            let end = News { status: CallStatus::Ended, end_reason: Some(EndReason::Canceled), occurred_at: now };
            merge(call, &end);
            HangUpOutcome::Initiated
        }
        CallStatus::Ending if call.pending_hang_up => HangUpOutcome::AlreadyPending,
        _ => {
            call.pending_hang_up = true;
            move_to(call, CallStatus::Ending);
            HangUpOutcome::Initiated
        }
    }
}

/// Why a call is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "CallInactiveReason")]
pub enum InactiveReason {
    /// Somebody must hang it up.
    PendingHangUp,
    /// It goes on elsewhere.
    Transferred,
    /// No such call is known.
    UnknownCall,
    /// Its transcript is closed.
    Finalized,
    /// It is over.
    Ended,
}

/// Why the call is not active; `None`: it is.
pub fn inactive(call: Option<&CallRecord>) -> Option<InactiveReason> {
    let Some(call) = call else { return Some(InactiveReason::UnknownCall) };
    if call.finalized_at.is_some() {
        return Some(InactiveReason::Finalized);
    }
    match call.status {
        CallStatus::Ended if call.end_reason == Some(EndReason::Transferred) => Some(InactiveReason::Transferred),
        CallStatus::Ending if call.pending_hang_up => Some(InactiveReason::PendingHangUp),
        CallStatus::Ending | CallStatus::Ended => Some(InactiveReason::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

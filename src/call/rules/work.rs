//! Which operations may begin on a call. Pure; over what was read under the call's lock.
//!
//! | | QUEUED, RESERVED not dialled | dialling, RINGING, `IN_PROGRESS` | ENDING | ENDED |
//! |---|---|---|---|---|
//! | SPEECH, STREAM, TRANSFER | CONFLICT | begun | over | over |
//! | DIAL | RESERVED: begun; QUEUED: CONFLICT | running | over | over |
//! | `HANG_UP` | CONFLICT | CONFLICT | pending: begun; else CONFLICT | over |
//!
//! One of a kind runs at a time. `HANG_UP` may also begin on a call that was given up (`LEASE_EXPIRED`) and is heard of again.

use serde::{Deserialize, Serialize};

use super::CallStatus;
use crate::{
    call::record::CallRecord,
    platform::error::{Error, Result},
};

/// What is done on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[graphql(name = "CallOperationKind")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationKind {
    /// A dialer dials it.
    Dial,
    /// A dialer hangs it up.
    HangUp,
    /// Something is said.
    Speech,
    /// Its sound is streamed.
    Stream,
    /// It is transferred.
    Transfer,
}

impl OperationKind {
    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dial => "DIAL",
            Self::HangUp => "HANG_UP",
            Self::Speech => "SPEECH",
            Self::Stream => "STREAM",
            Self::Transfer => "TRANSFER",
        }
    }

    /// True if beginning and completing it changes the call's own record.
    pub fn is_of_dialers(self) -> bool {
        matches!(self, Self::Dial | Self::HangUp)
    }
}

/// What became of a request to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "CallOperationOutcome")]
pub enum BeginOutcome {
    /// The caller does it, nobody else.
    Begun,
    /// The call is over.
    CallEnded,
    /// Another request does it, or has done it.
    AlreadyRunning,
}

/// Whether an operation may begin; `is_running`: one of its kind runs.
///
/// # Errors
/// `CONFLICT` if the call is not that far.
pub fn begin(call: &CallRecord, kind: OperationKind, is_running: bool) -> Result<BeginOutcome> {
    let begun = if is_running { BeginOutcome::AlreadyRunning } else { BeginOutcome::Begun };
    let is_dialled = call.is_dialled();
    match (kind, call.status) {
        (OperationKind::HangUp, _) if call.has_hang_up() => {
            Ok(if call.hung_up_until.is_some() { BeginOutcome::AlreadyRunning } else { begun })
        }
        (_, CallStatus::Ended) => Ok(BeginOutcome::CallEnded),
        (OperationKind::HangUp, _) => Err(Error::conflict("nobody has asked to hang this call up")),
        (_, CallStatus::Ending) => Ok(BeginOutcome::CallEnded),
        (OperationKind::Dial, CallStatus::Queued) => Err(Error::conflict("the call has no slot yet")),
        (OperationKind::Dial, CallStatus::Reserved) if !is_dialled => Ok(begun),
        (OperationKind::Dial, _) => Ok(BeginOutcome::AlreadyRunning),
        (_, CallStatus::Queued) => Err(Error::conflict("the call was not dialled yet")),
        (_, CallStatus::Reserved) if !is_dialled => Err(Error::conflict("the call was not dialled yet")),
        _ => Ok(begun),
    }
}

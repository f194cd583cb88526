//! What an event means to one client.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::ChangeOperation;
use crate::platform::{error::Result, event::Event};

/// What a change means to a client that was shown the record before, or not, and is shown it now, or not.
pub fn operation(before: bool, now: bool) -> Option<ChangeOperation> {
    match (before, now) {
        (false, false) => None,
        (false, true) => Some(ChangeOperation::Insert),
        (true, true) => Some(ChangeOperation::Update),
        (true, false) => Some(ChangeOperation::Delete),
    }
}

/// What `event` means to a client, as [`Feed::project`](super::Feed::project) gives it. `shown` gives a record as the
/// client may see it, if at all: that is the client's right. `admits` is the stream's filter, which the client chose.
///
/// A record that leaves the filter is a DELETE with the record as it is now. A record that the client may no longer see is
/// a DELETE with the record as the client last saw it: what changed with the right, such as a contract's next agent, is
/// not for the client.
///
/// # Errors
/// `INTERNAL_SERVER_ERROR` for an event that is not about an `R`.
pub fn project<R: DeserializeOwned + Send + Sync + 'static>(
    event: &Event,
    shown: impl Fn(&Arc<R>) -> Option<Arc<R>>,
    admits: impl Fn(&R) -> bool,
) -> Result<Option<(ChangeOperation, Arc<R>)>> {
    let now = shown(&event.record()?);
    let before = event.before()?.and_then(|before| shown(&before)).filter(|before| admits(before));
    let is_shown = now.as_ref().is_some_and(|now| admits(now));
    let Some(operation) = operation(before.is_some(), is_shown) else { return Ok(None) };
    let record = match now {
        Some(now) => now,
        None => match shown(&Arc::new(event.withdrawn()?)) {
            Some(withdrawn) => withdrawn,
            None => return Ok(None),
        },
    };
    Ok(Some((operation, record)))
}

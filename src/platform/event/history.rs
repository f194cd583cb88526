//! Page cursors of the history of one id (`events`): opaque text to clients.

use std::fmt;

use time::OffsetDateTime;

use super::Event;
use crate::platform::error::{Error, Result};

/// A place in the history of one id, which is sorted by (time, subject type, version).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryPlace {
    pub(super) occurred_at: OffsetDateTime,
    pub(super) subject_type: String,
    pub(super) version: i32,
}

impl HistoryPlace {
    /// The place of `event`; a page after it begins with the next one.
    pub fn of(event: &Event) -> Self {
        Self { occurred_at: event.occurred_at, subject_type: event.subject_type.clone(), version: event.version }
    }

    /// Parses the text form, `microseconds.version.subject_type`.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for anything that `Display` does not write.
    pub fn parse(text: &str) -> Result<Self> {
        let place = || {
            let mut parts = text.splitn(3, '.');
            let micros: i128 = parts.next()?.parse().ok()?;
            let version = parts.next()?.parse().ok()?;
            let occurred_at = OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1_000)?).ok()?;
            Some(Self { occurred_at, subject_type: parts.next()?.to_owned(), version })
        };
        place().ok_or_else(|| Error::invalid("after", "not a page cursor of this list"))
    }
}

impl fmt::Display for HistoryPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.occurred_at.unix_timestamp_nanos() / 1_000, self.version, self.subject_type)
    }
}

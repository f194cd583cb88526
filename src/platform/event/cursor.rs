//! Cursors: positions in a form that clients keep.
//!
//! ```text
//! Cursor ── postcard ──► bytes ── AES-SIV, key of the log ──► sealed ── base64url ──► text
//!                                   └ authenticated with it: the log's name
//! ```
//!
//! Clients learn nothing from a cursor, and cannot make one: it is sealed by a random key in the log's row, which every
//! server reads. AES-SIV needs no nonce. Equal cursors have equal text, and that is all that two texts show. The name of
//! the log is authenticated and not contained, so a cursor opens only where it was made. A cursor that does not open is
//! of another log, of another key, of an older server, or damaged. All of these mean the same to a stream: what the
//! client holds may be anything, so it is sent the present state, as a resync.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use aes_siv::{KeyInit as _, siv::Aes128Siv};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    position::{Incarnation, LogName, Mark, Position},
    sql,
};
use crate::platform::error::{Error, Result};

/// Most pending transactions in a cursor.
const MOST_PENDING: usize = 64;
/// Longest cursor, in bytes.
const LONGEST: usize = 8_192;
/// The cursor [`Cursor::Restart`], which depends on no log.
const RESTART: &str = "restart";

/// The key that seals a log's cursors.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// A key of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn cipher(&self) -> Aes128Siv {
        Aes128Siv::new(&self.0.into())
    }

    fn seal(&self, log: &LogName, text: &[u8]) -> Option<Vec<u8>> {
        self.cipher().encrypt([authenticated(log)], text).ok()
    }

    fn open(&self, log: &LogName, sealed: &[u8]) -> Option<Vec<u8>> {
        self.cipher().decrypt([authenticated(log)], sealed).ok()
    }
}

/// The log's name as bytes.
fn authenticated(log: &LogName) -> Vec<u8> {
    let LogName { system, timeline, database, id } = log;
    [&system.to_be_bytes()[..], &timeline.to_be_bytes(), &database.to_be_bytes(), id.as_bytes()].concat()
}

/// The name of a subject in cursors, `subject_type:id`. All cursors of one stream share the text.
#[derive(Debug)]
pub struct SubjectName(Arc<str>);

impl SubjectName {
    /// The name of one subject.
    pub fn new(subject_type: &str, id: &str) -> Self {
        Self(format!("{subject_type}:{id}").into())
    }

    /// True if `subject`, the name in a cursor, is this one.
    pub fn is(&self, subject: &str) -> bool {
        *self.0 == *subject
    }

    /// The cursor of a client that has received everything up to `version`, from the log as it is at `position`.
    pub fn cursor(&self, position: &Position, version: i32) -> Cursor {
        let (incarnation, mark) = (position.incarnation.clone(), position.mark);
        Cursor::Subject { incarnation, mark, subject: Arc::clone(&self.0), version }
    }
}

/// Resumes a stream; opaque text to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The client has received everything that the position contains. Valid for any stream.
    At(Position),
    /// The client has received everything about one subject up to `version`. Valid only for streams of that subject.
    Subject {
        /// The history that the version belongs to.
        incarnation: Incarnation,
        /// The newest event of the log when the cursor was made.
        mark: Mark,
        /// The subject's [name](SubjectName).
        subject: Arc<str>,
        /// The last version that the client has received.
        version: i32,
    },
    /// The client has received part of a snapshot, or nothing that still means anything: a resume sends the state again.
    Restart,
    /// A client's, not opened yet. See [`Cursor::resumable`].
    Sealed(Box<[u8]>),
}

/// What is sealed, kept short.
#[derive(Serialize, Deserialize)]
enum Content<'a> {
    /// `seen`, how far the mark's transaction lies above it, the mark's microseconds; how far each pending transaction
    /// lies below `seen`.
    At(u64, u64, Option<i64>, Vec<u64>),
    /// The mark's transaction and microseconds, the subject's name, the version.
    Subject(u64, Option<i64>, Cow<'a, str>, i32),
}

impl Cursor {
    /// The subject's version up to which the client has received everything; `None` for other cursors.
    pub fn version(&self) -> Option<i32> {
        match self {
            Self::Subject { version, .. } => Some(*version),
            _ => None,
        }
    }

    /// This cursor, if the log of `end` made it.
    fn opened(&self, end: &Position) -> Option<Self> {
        match self {
            Self::Sealed(sealed) => {
                let log = &end.incarnation;
                let content = log.key().open(log.name(), sealed)?;
                Self::from_content(log, postcard::from_bytes(&content).ok()?)
            }
            opened => Some(opened.clone()),
        }
    }

    fn from_content(log: &Incarnation, content: Content<'_>) -> Option<Self> {
        let incarnation = log.clone();
        Some(match content {
            Content::At(seen, above, micros, below) => {
                let mark = Mark { xid: seen.checked_add(above)?, at: from_micros(micros)? };
                let mut pending: Vec<u64> =
                    below.iter().map(|below| seen.checked_sub(*below)).collect::<Option<_>>()?;
                pending.sort_unstable();
                Self::At(Position { incarnation, seen, mark, pending: pending.into() })
            }
            Content::Subject(xid, micros, subject, version) => {
                let mark = Mark { xid, at: from_micros(micros)? };
                Self::Subject { incarnation, mark, subject: subject.into(), version }
            }
        })
    }

    /// The cursor that a stream goes on from: this one, if the log, which ends at `end` and was dropped up to `floor`,
    /// continues what the client has received; otherwise [`Cursor::Restart`]. To be called in the transaction that read
    /// `end` and `floor`.
    pub async fn resumable(&self, connection: &mut PgConnection, end: &Position, floor: u64) -> Result<Self> {
        let Some(cursor) = self.opened(end) else {
            metrics::counter!("switchboard_cursors_refused_total").increment(1);
            return Ok(Self::Restart);
        };
        let mark = match &cursor {
            Self::At(position) if position.is_held(end, floor) => position.mark,
            Self::Subject { incarnation, mark, .. } if *incarnation == end.incarnation && floor <= mark.xid => *mark,
            _ => return Ok(Self::Restart),
        };
        Ok(if sql::holds_mark(connection, mark).await? { cursor } else { Self::Restart })
    }
}

fn micros(at: Option<OffsetDateTime>) -> Option<i64> {
    at.and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok())
}

/// The outer `None`: out of the range of times.
#[expect(clippy::option_option, reason = "a time that is absent is not one that cannot be read")]
fn from_micros(micros: Option<i64>) -> Option<Option<OffsetDateTime>> {
    let Some(micros) = micros else { return Some(None) };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok().map(Some)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (incarnation, content) = match self {
            Self::Restart => return f.write_str(RESTART),
            Self::Sealed(sealed) => return f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(sealed)),
            Self::At(position) => {
                let Position { incarnation, seen, mark, pending } = position.shortened(MOST_PENDING);
                let below = pending.iter().map(|xid| seen - xid).collect();
                (incarnation, Content::At(seen, mark.xid - seen, micros(mark.at), below))
            }
            Self::Subject { incarnation, mark, subject, version } => {
                let content = Content::Subject(mark.xid, micros(mark.at), Cow::Borrowed(subject), *version);
                (incarnation.clone(), content)
            }
        };
        let content = postcard::to_stdvec(&content).map_err(|_| fmt::Error)?;
        let sealed = incarnation.key().seal(incarnation.name(), &content).ok_or(fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// `BAD_USER_INPUT` for text that no server ever gave out as a cursor. Whether a cursor is valid is known when it is
    /// [opened](Cursor::resumable).
    fn from_str(text: &str) -> Result<Self> {
        if text == RESTART {
            return Ok(Self::Restart);
        }
        let sealed = Some(text).filter(|text| (1..=LONGEST).contains(&text.len()));
        let sealed = sealed.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        sealed.map(|sealed| Self::Sealed(sealed.into())).ok_or_else(|| Error::invalid("after", "not a cursor"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NAME: LogName = LogName { system: 7_654_321_098_765_432_109, timeline: 3, database: 16_384, id: Uuid::nil() };

    fn position(name: LogName, key: u8, seen: u64) -> Position {
        let mark = Mark { xid: seen, at: Some(time::macros::datetime!(2030-01-31 12:00:00.123456 UTC)) };
        Position::at(Incarnation::new(name, CursorKey::new([key; 32])), mark)
    }

    /// The cursor as a client sends it back.
    fn sent(cursor: &Cursor) -> Cursor {
        cursor.to_string().parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_cursor_opens_to_a_position_that_contains_no_more(
            seen in 1..1_000u64, pending in prop::collection::btree_set(1..1_000u64, 0..100),
        ) {
            let pending: Arc<[u64]> = pending.into_iter().filter(|xid| *xid <= seen).collect();
            let position = Position { pending, ..position(NAME, 1, seen) };
            let Some(Cursor::At(back)) = sent(&Cursor::At(position.clone())).opened(&position) else { panic!() };
            for xid in 1..=1_001 {
                prop_assert!(position.contains(xid) || !back.contains(xid));
            }
            prop_assert_eq!(back.mark, position.mark);
            if position.pending.len() <= MOST_PENDING {
                prop_assert_eq!(back, position);
            }
        }

        #[test]
        fn other_text_opens_to_nothing(text in "\\PC{0,80}") {
            prop_assume!(text != RESTART);
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.opened(&position(NAME, 1, 9)), None);
            }
        }

        #[test]
        fn a_changed_cursor_opens_to_nothing(place in 0..60usize, bit in 0..8u32) {
            let end = position(NAME, 1, 9);
            let Cursor::Sealed(mut sealed) = sent(&SubjectName::new("chat", &Uuid::nil().to_string()).cursor(&end, 4))
                else { panic!() };
            sealed[place] ^= 1 << bit;
            prop_assert_eq!(Cursor::Sealed(sealed).opened(&end), None);
        }
    }

    #[test]
    fn a_cursor_opens_only_in_its_log_and_with_its_key() {
        let end = position(NAME, 1, 1_234_567_890);
        for cursor in [Cursor::At(end.clone()), SubjectName::new("chat", "a").cursor(&end, 4)] {
            assert_eq!(sent(&cursor).opened(&end), Some(cursor.clone()));
            let others = [
                position(NAME, 2, 1_234_567_890),
                position(LogName { system: 8, ..NAME }, 1, 1_234_567_890),
                position(LogName { timeline: 4, ..NAME }, 1, 1_234_567_890),
                position(LogName { database: 5, ..NAME }, 1, 1_234_567_890),
                position(LogName { id: Uuid::from_u128(1), ..NAME }, 1, 1_234_567_890),
            ];
            for other in others {
                assert_eq!(sent(&cursor).opened(&other), None);
            }
        }
        // As older servers wrote it: {"p":[{"system":7,"timeline":1},5,[]]}
        let old: Cursor = "eyJwIjpbeyJzeXN0ZW0iOjcsInRpbWVsaW5lIjoxfSw1LFtdXX0".parse().unwrap();
        assert_eq!(old.opened(&end), None);
        assert_eq!(sent(&Cursor::Restart).opened(&end), Some(Cursor::Restart));
    }

    #[test]
    fn a_cursor_shows_nothing_and_is_short() {
        let end = position(NAME, 1, 1_234_567_890);
        let chat = SubjectName::new("messages", &Uuid::from_u128(0x0123_4567_89ab_cdef).to_string());
        for (cursor, longest) in [(Cursor::At(end.clone()), 48), (chat.cursor(&end, 1_000), 108)] {
            let text = cursor.to_string();
            assert!(text.len() <= longest, "{} characters", text.len());
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
            for number in [NAME.system.cast_unsigned(), end.seen] {
                let forms = [number.to_string().into_bytes(), number.to_be_bytes().into(), number.to_le_bytes().into()];
                let is_within = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
                assert!(forms.iter().all(|form| !is_within(form)));
            }
        }
        assert!(!format!("{end:?}").contains("1, 1, 1"), "the key is not in debug output");
    }
}

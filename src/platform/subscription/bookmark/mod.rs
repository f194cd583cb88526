//! Bookmarks: how far a stream of changes has got, for clients that keep no cursor.
//!
//! A client that resumes by `after:` keeps its place itself. Deployed widgets do not. But after a cut they open the same
//! operations again, under the same random ids. So a row keeps the place of each such stream under the hash of its id and
//! arguments, and the stream goes on from there, on whichever server.
//!
//! ```text
//! change taken ─► queued to the socket ─► written to the connection ─► received: a pong ─► (at most 100 ms) the row
//!
//! cut: the row stays for two minutes     client left, or ended the operation: the row goes at once
//! ```
//!
//! # Guarantees
//! - A place in a row is never ahead of what the client has received, so nothing is skipped when a server is killed or a
//!   network is cut, where the kernel still takes what is written; what the last moment sent may come again. After an
//!   orderly stop the rows are exact.
//! - One server at a time writes a row: whoever opens the stream last takes it over, and what an older server still writes
//!   has no effect.
//! - Nobody without the operation's id finds the row. An id of fewer than 32 hexadecimal digits could be guessed, or be the
//!   same for many clients: such a stream has no place, and begins anew.
//!
//! A row may be *pinned*: what its stream may show was decided when it began, and must be the same afterwards. No two rows
//! are pinned to the same thing.
//!
//! Counted: `switchboard_stream_bookmarks_total{outcome}`, streams that begin and those that come back.
//!
//! **Failures.** While the database is away the rows are late, and streams that begin are refused. The table is unlogged:
//! after a crash of Postgres streams begin anew.

mod sql;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::sql::Place;
use crate::platform::{
    error::{Error, Result},
    event::Cursor,
    task::Task,
};

/// Pause between two writes. A server that is killed has not written what it sent since.
const EVERY: Duration = Duration::from_millis(100);
/// How long the place of a stream is kept that was cut.
pub(super) const KEPT: Duration = Duration::from_mins(2);
/// Pause between two clean-ups.
const CLEAN_EVERY: Duration = Duration::from_mins(1);
/// Deadline of one write or clean-up.
const DEADLINE: Duration = Duration::from_secs(5);
/// Most rows of one write.
const AT_ONCE: usize = 1_000;
/// Fewest hexadecimal digits of an operation id that nobody guesses.
const DIGITS: usize = 32;

/// Names a stream that may be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BookmarkKey {
    /// The company whose records the stream sends; nil where it names none.
    pub company_id: Uuid,
    hash: [u8; 32],
}

impl BookmarkKey {
    /// The key of the operation `id` that opens `stream`: a text that says which stream, with its arguments and for whom.
    /// A key that nothing else has, for an id that proves nothing.
    pub fn new(company_id: Uuid, id: Option<&str>, stream: &str) -> Self {
        let digits = |id: &&str| id.bytes().filter(u8::is_ascii_hexdigit).count() >= DIGITS;
        let hash = match id.filter(digits) {
            Some(id) => Sha256::new().chain_update(id).chain_update([0]).chain_update(stream).finalize().into(),
            None => rand::random(),
        };
        Self { company_id, hash }
    }

    /// The row's id.
    pub fn id(&self) -> &[u8] {
        &self.hash
    }
}

/// The bookmarks of the streams that one server sends. Clones share them.
#[derive(Debug, Clone)]
pub struct Bookmarks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    server_id: Uuid,
    /// Of streams that are open, or whose end is not written yet.
    known: Mutex<HashMap<BookmarkKey, Arc<Bookmark>>>,
    /// Those with something to write.
    changed: Mutex<Vec<Arc<Bookmark>>>,
}

/// The place of one stream.
#[derive(Debug)]
pub struct Bookmark {
    key: BookmarkKey,
    /// Where the stream goes on; `None`: it begins.
    since: Option<Cursor>,
    state: Mutex<State>,
    bookmarks: Bookmarks,
}

#[derive(Debug, Default)]
struct State {
    pin: Option<Uuid>,
    /// What the client has received once the message is there that was taken from the stream last.
    taken: Option<Cursor>,
    /// As `taken`, of the message that was queued last.
    queued: Option<Cursor>,
    /// As `taken`, of the message that was written to the connection last, until the client has received it.
    written: Option<Cursor>,
    /// As `taken`, of the message that the client has received last.
    received: Option<Cursor>,
    end: End,
    /// It is in the list of changed ones.
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Open,
    /// The stream was dropped, and its client may open it again.
    Cut,
    /// The client will not open it again.
    Forgotten,
    /// The client has opened it again on this server.
    Superseded,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bookmark {
    /// The row's key.
    pub fn key(&self) -> BookmarkKey {
        self.key
    }

    /// Where the stream goes on, if it was open before.
    pub fn since(&self) -> Option<&Cursor> {
        self.since.as_ref()
    }

    /// What the stream is pinned to.
    pub fn pin(&self) -> Option<Uuid> {
        locked(&self.state).pin
    }

    /// Notes what the stream's row was pinned to.
    pub fn pinned(&self, pin: Uuid) {
        locked(&self.state).pin = Some(pin);
    }

    /// The stream begins at `cursor`.
    pub fn began(self: &Arc<Self>, cursor: Cursor) {
        let mut state = locked(&self.state);
        if state.received.is_none() {
            state.received = Some(cursor);
            self.changed(&mut state);
        }
    }

    /// A message was taken from the stream; `cursor` is its own.
    pub fn taken(&self, cursor: Cursor) {
        locked(&self.state).taken = Some(cursor);
    }

    /// That message was queued.
    pub(in crate::platform) fn queued(&self) {
        let mut state = locked(&self.state);
        if let Some(cursor) = state.taken.take() {
            state.queued = Some(cursor);
        }
    }

    /// What was queued was written to the connection.
    pub(in crate::platform) fn written(&self) {
        let mut state = locked(&self.state);
        if let Some(cursor) = state.queued.take() {
            state.written = Some(cursor);
        }
    }

    /// The client has received what was written.
    pub(in crate::platform) fn received(self: &Arc<Self>) {
        let mut state = locked(&self.state);
        if let Some(cursor) = state.written.take() {
            state.received = Some(cursor);
            self.changed(&mut state);
        }
    }

    /// The client will not open the stream again.
    pub(in crate::platform) fn forget(self: &Arc<Self>) {
        self.end(End::Forgotten);
    }

    /// The stream was dropped.
    fn cut(self: &Arc<Self>) {
        self.end(End::Cut);
    }

    fn end(self: &Arc<Self>, end: End) {
        let mut state = locked(&self.state);
        if matches!(state.end, End::Open | End::Cut) && state.end != end {
            state.end = end;
            self.changed(&mut state);
        }
    }

    /// Ends this bookmark for one that takes its place: what the client has received, and the pin.
    fn supersede(&self) -> (Option<Cursor>, Option<Uuid>) {
        let mut state = locked(&self.state);
        let was_left = state.end == End::Forgotten;
        state.end = End::Superseded;
        if was_left { (None, None) } else { (state.received.clone(), state.pin) }
    }

    fn changed(self: &Arc<Self>, state: &mut State) {
        if !state.is_changed && state.end != End::Superseded {
            state.is_changed = true;
            locked(&self.bookmarks.0.changed).push(Arc::clone(self));
        }
    }
}

/// Ends a bookmark when its stream is dropped.
#[derive(Debug)]
pub struct OpenBookmark(pub Arc<Bookmark>);

impl Drop for OpenBookmark {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl Bookmarks {
    /// None yet. `server_id` names this server in `service_alive`.
    pub fn new(pool: PgPool, server_id: Uuid) -> Self {
        let (known, changed) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { pool, server_id, known, changed }))
    }

    /// This server in `service_alive`.
    pub fn server_id(&self) -> Uuid {
        self.0.server_id
    }

    /// How long the place of a stream is kept that was cut.
    pub fn kept() -> Duration {
        KEPT
    }

    /// The bookmark of a stream that is opened now, perhaps again.
    ///
    /// # Errors
    /// `UNAVAILABLE`
    pub async fn open(&self, key: BookmarkKey) -> Result<Arc<Bookmark>> {
        let here = locked(&self.0.known).get(&key).cloned();
        let (since, pin) = if let Some(old) = here {
            old.supersede()
        } else {
            let claim = async { sql::claim(&mut *self.0.pool.acquire().await?, key, self.0.server_id).await };
            timeout(DEADLINE, claim).await.unwrap_or_else(|late| Err(Error::unavailable(late)))?
        };
        let outcome = if since.is_some() { "resumed" } else { "begun" };
        metrics::counter!("switchboard_stream_bookmarks_total", "outcome" => outcome).increment(1);
        let state = Mutex::new(State { pin, received: since.clone(), ..State::default() });
        let bookmark = Arc::new(Bookmark { key, since, state, bookmarks: self.clone() });
        locked(&self.0.known).insert(key, Arc::clone(&bookmark));
        Ok(bookmark)
    }

    /// The task that writes the rows and removes old ones.
    pub fn task(&self) -> Task {
        let bookmarks = self.clone();
        Task::new("bookmarks", move |stop| bookmarks.run(stop))
    }

    /// Writes what has changed, until `stop` and once more.
    async fn run(self, stop: CancellationToken) {
        let mut cleaned = Instant::now();
        loop {
            let is_last = stop.run_until_cancelled(sleep(EVERY)).await.is_none();
            if let Err(error) = self.write().await {
                tracing::debug!(error = error.chain(), "could not write the places of streams; will try again");
            }
            if is_last {
                return;
            }
            if cleaned.elapsed() >= CLEAN_EVERY {
                cleaned = Instant::now();
                if let Err(error) = self.clean().await {
                    tracing::debug!(error = error.chain(), "could not remove old places of streams; will try again");
                }
            }
        }
    }

    /// Writes what has changed. What could not be written is written with the next call.
    ///
    /// # Errors
    /// `UNAVAILABLE`
    pub async fn write(&self) -> Result<()> {
        loop {
            let mut changed: Vec<Arc<Bookmark>> = {
                let mut changed = locked(&self.0.changed);
                let rest = changed.len().saturating_sub(AT_ONCE);
                changed.split_off(rest)
            };
            if changed.is_empty() {
                return Ok(());
            }
            // Rows are locked in the order of their keys, as by every server.
            changed.sort_by_key(|bookmark| bookmark.key);
            let (mut places, mut forgotten) = (Vec::new(), Vec::new());
            for bookmark in &changed {
                let mut state = locked(&bookmark.state);
                state.is_changed = false;
                match (state.end, &state.received) {
                    (End::Open | End::Cut, Some(cursor)) => {
                        let cursor = cursor.to_string();
                        places.push(Place { key: bookmark.key, cursor, is_cut: state.end == End::Cut });
                    }
                    (End::Superseded, _) => {}
                    (End::Forgotten, _) | (_, None) => forgotten.push(bookmark.key),
                }
            }
            let write = async {
                let mut connection = self.0.pool.acquire().await?;
                sql::write(&mut connection, self.0.server_id, &places).await?;
                sql::forget(&mut connection, self.0.server_id, &forgotten).await
            };
            let written = timeout(DEADLINE, write).await.unwrap_or_else(|late| Err(Error::unavailable(late)));
            if let Err(error) = written {
                for bookmark in &changed {
                    bookmark.changed(&mut locked(&bookmark.state));
                }
                return Err(error);
            }
            let mut known = locked(&self.0.known);
            for bookmark in changed {
                let has_ended = locked(&bookmark.state).end != End::Open;
                if has_ended && known.get(&bookmark.key).is_some_and(|other| Arc::ptr_eq(other, &bookmark)) {
                    known.remove(&bookmark.key);
                }
            }
        }
    }

    /// Removes the rows that mean nothing any more, of every company.
    async fn clean(&self) -> Result<()> {
        let clean = async { sql::clean(&mut *self.0.pool.acquire().await?).await };
        timeout(DEADLINE, clean).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_that_nobody_guesses_names_a_stream() {
        let key = |id: &str, stream: &str| BookmarkKey::new(Uuid::nil(), Some(id), stream);
        let id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(key(id, "s"), key(id, "s"));
        assert_ne!(key(id, "s"), key(id, "t"));
        assert_ne!(key(id, "s"), key("e81d4fae-7dec-11d0-a765-00a0c91e6bf6", "s"));
        for id in ["", "1", "f81d4fae-7dec-11d0-a765-00a0c91e6bf", &"z".repeat(64)] {
            assert_ne!(key(id, "s"), key(id, "s"), "{id}");
        }
        assert_ne!(BookmarkKey::new(Uuid::nil(), None, "s"), BookmarkKey::new(Uuid::nil(), None, "s"));
    }
}

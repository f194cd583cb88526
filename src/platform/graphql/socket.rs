//! One WebSocket, as the operations on it see it: what they share, and which of them can be opened again after a cut.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::platform::subscription::bookmark::Bookmark;

/// What the operations of one socket share.
#[derive(Debug, Default)]
pub struct SocketSession {
    shared: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    bookmarks: Mutex<HashMap<Arc<str>, Arc<Bookmark>>>,
    /// A message of a stream with a bookmark was queued since the queue was last empty.
    has_queued: AtomicBool,
}

/// The operation that a request is, on its socket.
#[derive(Debug, Clone)]
pub struct SocketOperation {
    /// What is remembered for as long as the socket is open.
    pub session: Arc<SocketSession>,
    /// The id that the client has given to the operation.
    pub id: Arc<str>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SocketSession {
    /// The value of this type that the operations of the socket share; made at its first use.
    pub fn shared<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut shared = locked(&self.shared);
        let value = shared.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        Arc::clone(value).downcast().unwrap_or_default()
    }

    /// Notes the bookmark of the stream that the operation of this id is.
    pub fn mark(&self, id: &Arc<str>, bookmark: Arc<Bookmark>) {
        locked(&self.bookmarks).insert(Arc::clone(id), bookmark);
    }

    /// A message of this operation was queued.
    pub(in crate::platform) fn queued(&self, id: &str) {
        if let Some(bookmark) = locked(&self.bookmarks).get(id) {
            bookmark.queued();
            self.has_queued.store(true, Ordering::Relaxed);
        }
    }

    /// All that was queued was written to the connection. True if a bookmark is to move once the client has received it.
    pub(in crate::platform) fn written(&self) -> bool {
        let has_queued = self.has_queued.swap(false, Ordering::Relaxed);
        if has_queued {
            for bookmark in locked(&self.bookmarks).values() {
                bookmark.written();
            }
        }
        has_queued
    }

    /// The client has received what was written before [`SocketSession::written`] was called last.
    pub(in crate::platform) fn received(&self) {
        for bookmark in locked(&self.bookmarks).values() {
            bookmark.received();
        }
    }

    /// The client will receive all that was queued: the connection is closed in order.
    pub(in crate::platform) fn sent(&self) {
        self.received();
        self.written();
        self.received();
    }

    /// The operation ended: its client wants no more of it, or the stream did. It will not be opened again.
    pub(in crate::platform) fn ended(&self, id: &str) {
        if let Some(bookmark) = locked(&self.bookmarks).remove(id) {
            bookmark.forget();
        }
    }

    /// The client left, and opens none of its operations again.
    pub(in crate::platform) fn left(&self) {
        for (_, bookmark) in locked(&self.bookmarks).drain() {
            bookmark.forget();
        }
    }
}

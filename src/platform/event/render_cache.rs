//! What readers made of one event, kept with the event for readers that would make the same of it.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most entries kept with one event. Readers that find no room render for themselves.
const MAX_ENTRIES: usize = 32;

type Entry = Arc<dyn Any + Send + Sync>;

/// Entries of any type, searched one by one. Lives as long as its event, and holds at most 32 entries.
#[derive(Debug, Default)]
pub struct RenderCache(Mutex<Vec<Entry>>);

impl RenderCache {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first `Some` that `find` returns for one of the entries of type `T`. The lock is held meanwhile.
    pub fn find<T: Any + Send + Sync, O>(&self, find: impl Fn(&T) -> Option<O>) -> Option<O> {
        self.entries().iter().filter_map(|entry| entry.downcast_ref()).find_map(find)
    }

    /// Keeps `entry` if there is room.
    pub fn insert<T: Any + Send + Sync>(&self, entry: T) {
        let mut entries = self.entries();
        if entries.len() < MAX_ENTRIES {
            entries.push(Arc::new(entry));
        }
    }
}

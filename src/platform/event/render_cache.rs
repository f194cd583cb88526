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

    /// The first entry of type `T` that is `wanted`.
    pub fn find<T: Any + Send + Sync>(&self, wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        found(&self.entries(), wanted)
    }

    /// The same; where there is none, `make` adds it. `None` if there is no room.
    pub fn find_or_insert<T: Any + Send + Sync>(
        &self,
        wanted: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Option<Arc<T>> {
        let mut entries = self.entries();
        if let Some(entry) = found(&entries, wanted) {
            return Some(entry);
        }
        if entries.len() >= MAX_ENTRIES {
            return None;
        }
        let entry = Arc::new(make());
        entries.push(Arc::clone(&entry) as Entry);
        Some(entry)
    }
}

fn found<T: Any + Send + Sync>(entries: &[Entry], wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
    let entry = entries.iter().find(|entry| entry.downcast_ref().is_some_and(&wanted))?;
    Arc::clone(entry).downcast().ok()
}

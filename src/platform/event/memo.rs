//! What was made of an event for one reader and serves others that would make the same of it.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most things kept with one event: who would need more of them reads alone.
const MOST: usize = 32;

type Made = Arc<dyn Any + Send + Sync>;

/// Things of any type, kept as long as the event is. Bounded.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Vec<Made>>);

impl Memo {
    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `find` takes from one of the `T`s.
    pub fn find<T: Any + Send + Sync, O>(&self, find: impl Fn(&T) -> Option<O>) -> Option<O> {
        self.made().iter().filter_map(|made| made.downcast_ref()).find_map(find)
    }

    /// Keeps `made`, if there is room.
    pub fn keep<T: Any + Send + Sync>(&self, made: T) {
        let mut all = self.made();
        if all.len() < MOST {
            all.push(Arc::new(made));
        }
    }
}

//! When a loop last did its work, for whoever must know that it still does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The time of a loop's last success, counted from the value's creation until there is one. Clones share it.
#[derive(Debug, Clone)]
pub struct LastLook(Arc<Mutex<Instant>>);

impl Default for LastLook {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LastLook {
    /// The loop has done its work now.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was.
    pub fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

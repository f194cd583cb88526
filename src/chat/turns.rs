//! One writer of a race at a time in this process: the others wait here, not each with a connection of the pool.
//!
//! This decides nothing: the race's row lock does, also between servers. Without it fifty agents who answer the same
//! call would hold fifty connections, and every other request would wait for the hottest race.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

type Key = (Uuid, Uuid);
type Gates = HashMap<Key, Arc<Semaphore>>;

/// The races that have a writer in this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Gates>>);

/// A place in a race's line; the gate is forgotten when the last one leaves, also when it gave up waiting.
#[derive(Debug)]
struct Place {
    turns: Turns,
    key: Key,
    gate: Option<Arc<Semaphore>>,
}

/// The right to write; ends when dropped. The permit is given back before the place is left.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Turns {
    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the other writers of the race in this process, first come, first served.
    pub(super) async fn take(&self, company_id: Uuid, race: Uuid) -> Turn {
        let key = (company_id, race);
        let gate = Arc::clone(self.gates().entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let place = Place { turns: self.clone(), key, gate: Some(Arc::clone(&gate)) };
        let permit = gate.acquire_owned().await.expect("the gate is never closed");
        Turn { _permit: permit, _place: place }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut gates = self.turns.gates();
        // Under the map's lock nobody can come to the gate; those who wait hold it too. A permit that is still on
        // its way back holds it as well: then the next place that is left forgets it.
        drop(self.gate.take());
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Turns::default();
        let key = (Uuid::now_v7(), Uuid::now_v7());
        let first = turns.take(key.0, key.1).await;
        let mut second = Box::pin(turns.take(key.0, key.1));
        let mut gives_up = Box::pin(turns.take(key.0, key.1));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut gives_up).is_pending());
        let other_race = turns.take(key.0, Uuid::now_v7()).await;
        drop(first);
        drop(gives_up);
        drop(second.await);
        drop(other_race);
        assert!(turns.gates().is_empty());
    }
}

//! A share of the connections for each reader. The pool serves whoever asked first; without this gate one caller that
//! asks for a thousand lists would stand there a thousand times before the next caller.
//!
//! A reader's reads wait here, in their order, until one of its places is free, and only then for a connection. So a
//! reader never stands in the pool's line more often than its share, and everybody else waits behind that at most.
//! Waiting takes no connection. A reader that reads nothing takes no memory. The metric `switchboard_reader_wait_seconds` has
//! the waits of those that had to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reading::Reader;

/// The places of all readers on one pool. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ReaderGate(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    share: usize,
    readers: Mutex<HashMap<Reader, Arc<Semaphore>>>,
}

impl Gate {
    fn readers(&self) -> MutexGuard<'_, HashMap<Reader, Arc<Semaphore>>> {
        // Nothing panics while it holds the lock.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place of a reader, or its wait for one; given back when dropped.
pub(super) struct Place {
    gate: Arc<Gate>,
    reader: Reader,
    permit: Option<OwnedSemaphorePermit>,
}

impl ReaderGate {
    /// A gate with `share` places for each reader.
    pub(crate) fn new(share: usize) -> Self {
        Self(Arc::new(Gate { share: share.max(1), readers: Mutex::default() }))
    }

    /// Waits for a place of `reader`.
    pub(super) async fn enter(&self, reader: Reader) -> Place {
        let places = {
            let mut readers = self.0.readers();
            let places = readers.entry(reader.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.0.share)));
            Arc::clone(places)
        };
        // Made before the wait: a wait that is given up leaves no entry behind.
        let mut place = Place { gate: Arc::clone(&self.0), reader, permit: None };
        let permit = if let Ok(permit) = Arc::clone(&places).try_acquire_owned() {
            permit
        } else {
            let since = Instant::now();
            let permit = places.acquire_owned().await.expect("the semaphore is never closed");
            metrics::histogram!("switchboard_reader_wait_seconds").record(since.elapsed().as_secs_f64());
            permit
        };
        place.permit = Some(permit);
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        let mut readers = self.gate.readers();
        // Whoever has a place or waits for one holds the semaphore too; new ones need the lock.
        if readers.get(&self.reader).is_some_and(|places| Arc::strong_count(places) == 1) {
            readers.remove(&self.reader);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;

    fn at(address: &str) -> Reader {
        Reader::Address(address.parse().unwrap())
    }

    #[tokio::test]
    async fn a_readers_reads_wait_for_its_own_places_only_and_nothing_is_left_behind() {
        let gate = ReaderGate::new(2);
        let (one, other) = (at("192.0.2.1/32"), at("192.0.2.2/32"));
        let first = gate.enter(one.clone()).await;
        let second = gate.enter(one.clone()).await;
        let mut third = Box::pin(gate.enter(one.clone()));
        let mut gives_up = Box::pin(gate.enter(one.clone()));
        assert!(poll!(third.as_mut()).is_pending() && poll!(gives_up.as_mut()).is_pending());
        let beside = gate.enter(other).now_or_never().expect("another reader's places are free");
        drop(beside);
        drop(gives_up);
        drop(first);
        let third = third.await;
        drop((second, third));
        assert!(gate.0.readers().is_empty());
    }
}

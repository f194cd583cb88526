//! How many connections this server takes: all together, and of one address.
//!
//! ```text
//!          ┌─ a place is free ────────────────► served; a WebSocket keeps its connection's place
//! accept ──┤
//!          └─ all are taken, or too many of     on probation, for 2 s: health checks, and requests with a
//!             this address are unproven ──────► credential, which get a place if it is valid and one is free
//! ```
//! A connection is *unproven* until a request or a `connection_init` on it shows a valid credential. One address may have
//! only a number of unproven connections, so that one visitor cannot take all places. Connections of a trusted proxy belong
//! to many clients and do not count; a WebSocket through it counts for its client's address.
//!
//! A few more connections are let in on probation, so that whoever takes all places takes neither the health checks nor
//! the callers that have a credential. They are in groups that do not use up each other: connections of addresses with too
//! many, connections at times when all places are taken, and WebSockets, which show their credential only after the upgrade.
//!
//! Counted: `switchboard_http_connections`, `switchboard_http_connections_refused_total{reason}`.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use metrics::{counter, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::platform::{config::HttpSettings, limit::AddressKey};

/// How long a connection may be on probation.
pub(super) const PROBATION: Duration = Duration::from_secs(2);
/// Connections on probation in each of the three groups.
const ON_PROBATION: usize = 16;
/// All connections on probation.
pub(super) const KEPT_BACK: usize = 3 * ON_PROBATION;

/// All places of this server.
pub(super) struct Places {
    open: Arc<Semaphore>,
    /// For connections that find no place.
    kept_back: Arc<Semaphore>,
    /// For connections of addresses with too many unproven ones.
    crowded: Arc<Semaphore>,
    /// For connections on probation that become WebSockets.
    upgraded: Arc<Semaphore>,
    unproven: Arc<Unproven>,
    trusted: Vec<IpNet>,
}

impl Places {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self {
            open: Arc::new(Semaphore::new(settings.connection_limit.min(Semaphore::MAX_PERMITS))),
            kept_back: Arc::new(Semaphore::new(ON_PROBATION)),
            crowded: Arc::new(Semaphore::new(ON_PROBATION)),
            upgraded: Arc::new(Semaphore::new(ON_PROBATION)),
            unproven: Arc::new(Unproven { limit: settings.unproven_limit, counts: Mutex::default() }),
            trusted: settings.trusted_proxies.clone(),
        }
    }

    /// A place for a connection from `peer`, perhaps on probation; `None` if it must be dropped.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Arc<Place>> {
        let peer = peer.to_canonical();
        let is_proxy = self.trusted.iter().any(|network| network.contains(&peer));
        let slot = if is_proxy { None } else { self.unproven.take(peer) };
        let is_crowded = !is_proxy && slot.is_none();
        let (group, reason) = if is_crowded { (&self.crowded, "address") } else { (&self.kept_back, "full") };
        let take = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).try_acquire_owned().ok();
        let place = if is_crowded { None } else { take(&self.open) };
        let held = if let Some(permit) = place {
            Held { permit, slot, is_open: true }
        } else if let Some(permit) = take(group) {
            Held { permit, slot: None, is_open: false }
        } else {
            counter!("switchboard_http_connections_refused_total", "reason" => reason).increment(1);
            return None;
        };
        gauge!("switchboard_http_connections").increment(1);
        let [open, upgraded] = [&self.open, &self.upgraded].map(Arc::clone);
        Some(Arc::new(Place { held: Mutex::new(held), is_proxy, open, upgraded, unproven: Arc::clone(&self.unproven) }))
    }
}

/// A connection's place. A WebSocket keeps that of its connection.
pub(super) struct Place {
    held: Mutex<Held>,
    is_proxy: bool,
    open: Arc<Semaphore>,
    upgraded: Arc<Semaphore>,
    unproven: Arc<Unproven>,
}

struct Held {
    permit: OwnedSemaphorePermit,
    slot: Option<UnprovenSlot>,
    /// False on probation.
    is_open: bool,
}

impl Place {
    /// False on probation.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.held).is_open
    }

    /// The client has shown a valid credential. False if the connection is on probation and finds no place.
    pub(super) fn prove(&self) -> bool {
        let mut held = lock(&self.held);
        held.slot = None;
        if !held.is_open
            && let Ok(permit) = Arc::clone(&self.open).try_acquire_owned()
        {
            held.permit = permit;
            held.is_open = true;
        }
        held.is_open
    }

    /// The connection becomes a WebSocket of `client`. False if there is no room for it.
    pub(super) fn upgrade(&self, client: Option<IpAddr>) -> bool {
        let mut held = lock(&self.held);
        if !held.is_open {
            let Ok(permit) = Arc::clone(&self.upgraded).try_acquire_owned() else { return false };
            held.permit = permit;
            return true;
        }
        let Some(client) = client.filter(|_| self.is_proxy) else { return true };
        held.slot = self.unproven.take(client);
        held.slot.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        gauge!("switchboard_http_connections").decrement(1);
    }
}

/// The number of unproven connections of each address that has any.
struct Unproven {
    limit: usize,
    counts: Mutex<HashMap<AddressKey, usize>>,
}

impl Unproven {
    /// Counts one more; `None` when the address has too many already.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<UnprovenSlot> {
        let address = AddressKey::from(address);
        let mut counts = lock(&self.counts);
        let count = counts.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(UnprovenSlot { address, of: Arc::clone(self) })
    }
}

/// One unproven connection; counted until it is dropped.
struct UnprovenSlot {
    address: AddressKey,
    of: Arc<Unproven>,
}

impl Drop for UnprovenSlot {
    fn drop(&mut self) {
        let mut counts = lock(&self.of.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn places(flags: &[&str]) -> Places {
        let matches =
            HttpSettings::augment_args(clap::Command::new("test").no_binary_name(true)).get_matches_from(flags);
        Places::new(&HttpSettings::from_arg_matches(&matches).unwrap())
    }

    /// A place that is not on probation.
    fn open(place: Option<Arc<Place>>) -> Option<Arc<Place>> {
        place.filter(|place| place.is_open())
    }

    #[test]
    fn an_address_has_a_number_of_unproven_connections_and_any_number_of_others() {
        let places = places(&["--unproven-limit", "2", "--trusted-proxies", "10.0.0.0/8"]);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let first = open(places.enter(one)).unwrap();
        let _second = open(places.enter(one)).unwrap();
        let third = places.enter(one).unwrap();
        assert!(!third.is_open());
        assert!(open(places.enter(other)).is_some(), "another address, gone at once");
        assert!(third.prove() && third.is_open(), "a credential finds a place");
        assert!(first.prove());
        let _fourth = open(places.enter(one)).unwrap();

        // Through a proxy only sockets count, for their clients.
        let proxied: Vec<_> = (0..5).map(|_| open(places.enter("10.0.0.1".parse().unwrap())).unwrap()).collect();
        assert!(!proxied[1].upgrade(Some(one)));
        assert!(proxied[2].upgrade(Some(other)) && proxied[3].upgrade(None));
        drop(proxied);
        assert_eq!(lock(&places.unproven.counts).len(), 1, "addresses without connections are forgotten");

        // An address over its number uses up nothing but what is kept for such.
        let crowd: Vec<_> = (0..100).map_while(|_| places.enter(one)).collect();
        assert_eq!(crowd.len(), ON_PROBATION);
        assert!(places.enter(one).is_none() && open(places.enter(other)).is_some());
        // Nor do its WebSockets: they make room for its requests.
        assert!(crowd.iter().all(|place| place.upgrade(Some(one))));
        let more: Vec<_> = (0..100).map_while(|_| places.enter(one)).collect();
        assert!(more.len() == ON_PROBATION && !more[0].upgrade(Some(one)));
    }

    #[test]
    fn when_all_places_are_taken_some_are_let_in_on_probation() {
        let places = places(&["--connection-limit", "2"]);
        let address = "192.0.2.1".parse().unwrap();
        let mut taken: Vec<_> = (0..2).map(|_| open(places.enter(address)).unwrap()).collect();
        let others: Vec<_> = (0..100).map_while(|_| places.enter(address)).collect();
        assert_eq!(others.len(), ON_PROBATION);
        assert!(!others[0].is_open() && !others[0].prove(), "a credential finds no place either");
        taken.pop();
        assert!(others[0].prove() && others[0].is_open());
        assert!(places.enter(address).is_some_and(|place| !place.is_open()));
        drop((taken, others));
        assert!(open(places.enter(address)).is_some());
    }
}

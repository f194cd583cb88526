//! The hub routes the events of this process's one reader to the queues of its subscriptions.
//!
//! ```text
//! reader ── deliver(events, read) ──► routes: (company, subject type) ─┬─ all
//!                                                                      ├─ by subject id
//!                                                                      └─ by a field's text ──► EventQueue, Signal
//! ```
//!
//! A read arrives in pieces (`gathering.rs`); what nobody wants is let go at once.
//!
//! The cost of an event grows with the number of subscriptions that are interested in it, not with the number of all
//! subscriptions. Queues that get the same events of a read share one [`Delivery`].
//!
//! A subscription that registers before it reads the state misses nothing: every event that is committed after the
//! state was read comes in a later read of the log, and that read is delivered to the registered queue.
//!
//! Whoever only needs to know that something happened takes a [`Watch`] instead of a queue: it holds no events, and what
//! has changed is read from the database.

mod watch;

mod gathering;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use self::watch::Signal;
pub use self::watch::Watch;
pub use super::queue::{Delivery, EventQueue, Read, Received};
use super::{Event, Position};

/// Which events a subscription's queue gets. The concept's feed then decides which of them the client is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Only events of this company.
    pub company_id: Uuid,
    /// Only subjects of this type.
    pub subject_type: &'static str,
    /// Which subjects of the type.
    pub scope: Scope,
}

/// Which subjects of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every subject of the company.
    All,
    /// The subject with this id.
    Subject(String),
    /// Subjects whose record has, or had before the change, this text in this field.
    Field(&'static str, String),
}

/// A queue that is registered with the hub until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    _registration: Registration,
    queue: Arc<EventQueue>,
}

impl Subscription {
    /// The queue that the hub fills.
    pub fn queue(&self) -> &EventQueue {
        &self.queue
    }
}

/// Interests that are registered with the hub until this is dropped.
#[derive(Debug)]
struct Registration {
    hub: Hub,
    id: u64,
    interests: Vec<Interest>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut routes = self.hub.routes();
        for interest in &self.interests {
            routes.remove(interest, self.id);
        }
        metrics::gauge!("switchboard_hub_subscriptions").decrement(1.0);
    }
}

/// Who gets events.
#[derive(Debug, Clone)]
enum Recipient {
    /// Gets the events.
    Queue(Arc<EventQueue>),
    /// Is told that there are some.
    Signal(Arc<Signal>),
}

impl Recipient {
    /// The log has a gap or another history: what was known of it means nothing any more.
    fn request_resync(&self) {
        match self {
            Self::Queue(queue) => queue.request_resync(),
            Self::Signal(signal) => signal.raise(),
        }
    }
}

/// Recipients by the id of their registration.
type Recipients = HashMap<u64, Recipient>;

/// The subscriptions of one company to one subject type.
#[derive(Debug, Default)]
struct TypeRoutes {
    all: Recipients,
    by_subject: HashMap<String, Recipients>,
    by_field: HashMap<&'static str, HashMap<String, Recipients>>,
}

impl TypeRoutes {
    fn recipients(&mut self, scope: &Scope) -> &mut Recipients {
        match scope {
            Scope::All => &mut self.all,
            Scope::Subject(id) => self.by_subject.entry(id.clone()).or_default(),
            Scope::Field(field, value) => self.by_field.entry(field).or_default().entry(value.clone()).or_default(),
        }
    }

    /// The recipients that chose this scope, if there are any.
    fn of_scope(&self, scope: &Scope) -> Option<&Recipients> {
        match scope {
            Scope::All => Some(&self.all),
            Scope::Subject(id) => self.by_subject.get(id),
            Scope::Field(field, value) => self.by_field.get(field)?.get(value),
        }
    }

    fn remove_empty(&mut self, scope: &Scope) {
        match scope {
            Scope::All => {}
            Scope::Subject(id) => {
                self.by_subject.remove(id);
            }
            Scope::Field(field, value) => {
                if let Some(values) = self.by_field.get_mut(field) {
                    values.remove(value);
                    if values.is_empty() {
                        self.by_field.remove(field);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.by_subject.is_empty() && self.by_field.is_empty()
    }

    /// The recipients that get `event`; one that has several interests in it comes several times.
    fn interested<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = (&'a u64, &'a Recipient)> {
        let by_subject = self.by_subject.get(&event.subject_id).into_iter().flatten();
        let by_field = self.by_field.iter().flat_map(move |(field, values)| {
            let chosen = event.values_of(field).filter_map(|value| values.get(value)).flatten();
            let all = event.lacks(field).then(|| values.values().flatten());
            chosen.chain(all.into_iter().flatten())
        });
        self.all.iter().chain(by_subject).chain(by_field)
    }

    fn every_recipient(&self) -> impl Iterator<Item = &Recipient> {
        let by_field = self.by_field.values().flat_map(HashMap::values);
        let scopes = std::iter::once(&self.all).chain(self.by_subject.values()).chain(by_field);
        scopes.flat_map(HashMap::values)
    }
}

/// One event of a read that one recipient gets.
struct Wanted {
    id: u64,
    recipient: Recipient,
    /// The event's index in the read.
    event: usize,
}

#[derive(Debug, Default)]
struct Routes {
    by_type: HashMap<(Uuid, String), TypeRoutes>,
    /// Queues of this process's own caches, which follow a subject type in every company.
    all_companies: HashMap<&'static str, Arc<EventQueue>>,
}

impl Routes {
    fn add(&mut self, interest: &Interest, id: u64, recipient: &Recipient) {
        let of_type = self.by_type.entry((interest.company_id, interest.subject_type.to_owned())).or_default();
        of_type.recipients(&interest.scope).insert(id, recipient.clone());
    }

    fn remove(&mut self, interest: &Interest, id: u64) {
        let key = (interest.company_id, interest.subject_type.to_owned());
        let Some(of_type) = self.by_type.get_mut(&key) else { return };
        let recipients = of_type.recipients(&interest.scope);
        recipients.remove(&id);
        if recipients.is_empty() {
            of_type.remove_empty(&interest.scope);
        }
        if of_type.is_empty() {
            self.by_type.remove(&key);
        }
    }

    /// Who gets `event`, one of them perhaps several times.
    fn recipients_of<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = Recipient> {
        let cache =
            self.all_companies.get(event.subject_type.as_str()).map(|queue| Recipient::Queue(Arc::clone(queue)));
        let of_type = self.by_type.get(&(event.company_id, event.subject_type.clone()));
        let interested = of_type.into_iter().flat_map(move |of_type| of_type.interested(event));
        cache.into_iter().chain(interested.map(|(_, recipient)| recipient.clone()))
    }

    /// Who gets which of `events`: sorted by recipient, each event once for each, in the order of the read.
    fn wanted(&self, events: &[Arc<Event>]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let Some(of_type) = self.by_type.get(&(event.company_id, event.subject_type.clone())) else { continue };
            wanted.extend(of_type.interested(event).map(|(id, recipient)| Wanted {
                id: *id,
                recipient: recipient.clone(),
                event: index,
            }));
        }
        wanted.sort_unstable_by_key(|wanted| (wanted.id, wanted.event));
        // Several interests of one subscription may match the same event.
        wanted.dedup_by_key(|wanted| (wanted.id, wanted.event));
        wanted
    }
}

#[derive(Debug, Default)]
struct Shared {
    routes: Mutex<Routes>,
    /// The reader's position; `None` before its first read.
    position: Mutex<Option<Position>>,
    next_id: AtomicU64,
}

/// Routes the events of this process's reader to its subscriptions. Clones share the same routes.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    queue_capacity: usize,
}

impl Hub {
    /// A hub whose queues hold `queue_capacity` events each.
    pub fn new(queue_capacity: usize) -> Self {
        Self { shared: Arc::default(), queue_capacity }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_queue(&self) -> Arc<EventQueue> {
        Arc::new(EventQueue::new(self.queue_capacity))
    }

    /// Registers a subscription. From now on each event that matches any of `interests` enters its queue once.
    pub fn subscribe(&self, interests: Vec<Interest>) -> Subscription {
        let queue = self.new_queue();
        Subscription { _registration: self.register(interests, &Recipient::Queue(Arc::clone(&queue))), queue }
    }

    /// Registers a watch. From now on it is told of each read with an event that matches any of `interests`.
    pub fn watch(&self, interests: Vec<Interest>) -> Watch {
        let signal = Arc::new(Signal::default());
        Watch::new(self.register(interests, &Recipient::Signal(Arc::clone(&signal))), &signal)
    }

    /// Tells the watches of this interest at once that something was committed, as the next read of the log will tell
    /// them once more. For a commit of this process that somebody here waits for.
    pub fn wake(&self, interest: &Interest) {
        let routes = self.routes();
        let key = (interest.company_id, interest.subject_type.to_owned());
        let Some(of_type) = routes.by_type.get(&key) else { return };
        for recipient in of_type.of_scope(&interest.scope).into_iter().flat_map(HashMap::values) {
            if let Recipient::Signal(signal) = recipient {
                signal.raise();
            }
        }
    }

    fn register(&self, interests: Vec<Interest>, recipient: &Recipient) -> Registration {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut routes = self.routes();
        for interest in &interests {
            routes.add(interest, id, recipient);
        }
        drop(routes);
        metrics::gauge!("switchboard_hub_subscriptions").increment(1.0);
        Registration { hub: self.clone(), id, interests }
    }

    /// A queue of all events about subjects of `subject_type`, whatever their company. For this process's own caches,
    /// never for a caller. A second call for the same type returns the same queue.
    pub fn subscribe_all_companies(&self, subject_type: &'static str) -> Arc<EventQueue> {
        Arc::clone(self.routes().all_companies.entry(subject_type).or_insert_with(|| self.new_queue()))
    }

    /// Routes the events of one read of the log, then moves the position to its end.
    fn deliver(&self, events: &[Arc<Event>], read: Read) {
        let read = Arc::new(read);
        let delivery = |events| Arc::new(Delivery { events, read: Arc::clone(&read) });
        let routes = self.routes();
        for event in events {
            if let Some(queue) = routes.all_companies.get(event.subject_type.as_str()) {
                queue.push(delivery(vec![Arc::clone(event)]));
            }
        }
        let wanted = routes.wanted(events);
        drop(routes);
        // Many subscriptions of one subject get the same events: neighbours share one delivery.
        let mut previous: Option<(&[Wanted], Arc<Delivery>)> = None;
        for wanted in wanted.chunk_by(|one, next| one.id == next.id) {
            let queue = match &wanted[0].recipient {
                Recipient::Queue(queue) => queue,
                Recipient::Signal(signal) => {
                    signal.raise();
                    continue;
                }
            };
            let chosen = || wanted.iter().map(|wanted| wanted.event);
            let same = previous.filter(|(others, _)| others.iter().map(|other| other.event).eq(chosen()));
            let delivery = match same {
                Some((_, delivery)) => delivery,
                None => delivery(chosen().map(|event| Arc::clone(&events[event])).collect()),
            };
            queue.push(Arc::clone(&delivery));
            previous = Some((wanted, delivery));
        }
        self.set_position(read.after.clone());
    }

    pub(super) fn set_position(&self, position: Position) {
        *self.shared.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// The reader's position: all of its events have been delivered, and any later read of the database includes them.
    /// `None` before the reader's first read.
    pub fn position(&self) -> Option<Position> {
        self.shared.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes every subscription send its present state again, because the log has a gap or another history.
    pub(super) fn resync_all(&self) {
        let routes = self.routes();
        for recipient in routes.by_type.values().flat_map(TypeRoutes::every_recipient) {
            recipient.request_resync();
        }
        for queue in routes.all_companies.values() {
            queue.request_resync();
        }
    }
}

#[cfg(test)]
mod tests;

//! The hub: from one reader of the log to the mailboxes of all subscriptions of this process.
//!
//! Routing is by (company, kind of subject), then by subject or by a field of the record, so that an event costs
//! as much as there are subscriptions that want it, not as there are subscriptions.
//!
//! A [`Mailbox`] holds a bounded number of events. When it is full the hub drops what comes and notes from which
//! position on; the subscription then re-reads the log from there. So a slow reader costs bounded memory and
//! loses nothing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{Event, Position};

/// Which events a subscription wants to look at. What it then delivers is decided by the concept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The tenant.
    pub company_id: Uuid,
    /// The kind of subject.
    pub kind: &'static str,
    /// Which of them.
    pub scope: Scope,
}

/// Which subjects of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of the company.
    All,
    /// One.
    Subject(String),
    /// Those whose record has, or had before the change, this text in this field.
    Field(&'static str, String),
}

/// Events of one read of the log, for all mailboxes that get just these of it.
#[derive(Debug)]
pub struct Delivery {
    /// In the order of the read.
    pub events: Vec<Arc<Event>>,
    /// What the read was.
    pub read: Arc<Read>,
}

/// The bounds of one read of the log.
#[derive(Debug)]
pub struct Read {
    /// Where the reader was.
    pub before: Position,
    /// Where it is now.
    pub after: Position,
}

/// What a subscription finds in its mailbox.
#[derive(Debug)]
pub enum Mail {
    /// New events.
    Delivery(Arc<Delivery>),
    /// Events were dropped because the mailbox was full: all of this position were put in before, so re-read
    /// from there.
    Lagged(Position),
    /// The log has a gap or another history: only the present state is left to send.
    Resync,
}

#[derive(Debug, Default)]
struct Contents {
    queue: VecDeque<Arc<Delivery>>,
    events: usize,
    /// Set while the mailbox takes nothing because it was full.
    lagged: Option<Position>,
    resync: bool,
}

/// Where the hub puts a subscription's events. Bounded.
#[derive(Debug)]
pub struct Mailbox {
    capacity: usize,
    contents: Mutex<Contents>,
    filled: Notify,
}

impl Mailbox {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        // A panic while holding the lock cannot leave it half changed.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, delivery: Arc<Delivery>) {
        let mut contents = self.contents();
        if contents.lagged.is_some() || contents.resync {
            return;
        }
        // A delivery larger than the whole mailbox is taken when the mailbox is empty: it is in memory anyway.
        if contents.events > 0 && contents.events + delivery.events.len() > self.capacity {
            contents.lagged = Some(delivery.read.before.clone());
            metrics::counter!("switchboard_subscription_lags_total").increment(1);
        } else {
            contents.events += delivery.events.len();
            contents.queue.push_back(delivery);
        }
        drop(contents);
        self.filled.notify_one();
    }

    fn demand_resync(&self) {
        let mut contents = self.contents();
        *contents = Contents { resync: true, ..Contents::default() };
        drop(contents);
        self.filled.notify_one();
    }

    fn take(&self) -> Option<Mail> {
        let mut contents = self.contents();
        if contents.resync {
            *contents = Contents::default();
            return Some(Mail::Resync);
        }
        if let Some(delivery) = contents.queue.pop_front() {
            contents.events -= delivery.events.len();
            return Some(Mail::Delivery(delivery));
        }
        // Cleared before the caller re-reads the log: what comes from now on is put in the mailbox again.
        contents.lagged.take().map(Mail::Lagged)
    }

    /// The deliveries that wait, in order; what else there is comes with [`Mailbox::next`].
    pub fn waiting(&self) -> Vec<Arc<Delivery>> {
        let mut contents = self.contents();
        contents.events = 0;
        contents.queue.drain(..).collect()
    }

    /// The next mail. Cancel-safe: what was not returned stays.
    pub async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.take() {
                return mail;
            }
            self.filled.notified().await;
        }
    }
}

/// A registration with the hub; ends when dropped.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    id: u64,
    interests: Vec<Interest>,
    mailbox: Arc<Mailbox>,
}

impl Subscription {
    /// Where this subscription's events arrive.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut routes = self.hub.routes();
        for interest in &self.interests {
            routes.remove(interest, self.id);
        }
        metrics::gauge!("switchboard_hub_subscriptions").decrement(1.0);
    }
}

type Mailboxes = HashMap<u64, Arc<Mailbox>>;

/// The subscriptions of one company to one kind of subject.
#[derive(Debug, Default)]
struct Kind {
    all: Mailboxes,
    by_subject: HashMap<String, Mailboxes>,
    by_field: HashMap<&'static str, HashMap<String, Mailboxes>>,
}

impl Kind {
    fn mailboxes(&mut self, scope: &Scope) -> &mut Mailboxes {
        match scope {
            Scope::All => &mut self.all,
            Scope::Subject(id) => self.by_subject.entry(id.clone()).or_default(),
            Scope::Field(field, value) => self.by_field.entry(field).or_default().entry(value.clone()).or_default(),
        }
    }

    fn forget_if_empty(&mut self, scope: &Scope) {
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

    fn interested<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = (&'a u64, &'a Arc<Mailbox>)> {
        let by_subject = self.by_subject.get(&event.subject_id).into_iter().flatten();
        let by_field = self
            .by_field
            .iter()
            .flat_map(move |(field, values)| event.values_of(field).filter_map(|value| values.get(value)).flatten());
        self.all.iter().chain(by_subject).chain(by_field)
    }
}

/// That a mailbox is to get an event of a read.
struct Wanted {
    mailbox_id: u64,
    mailbox: Arc<Mailbox>,
    /// Its index among the events.
    event: usize,
}

#[derive(Debug, Default)]
struct Routes {
    kinds: HashMap<(Uuid, String), Kind>,
    /// Listeners of this process to a kind in every company: caches that must forget.
    taps: HashMap<&'static str, Arc<Mailbox>>,
}

impl Routes {
    /// Which mailboxes get which of `events`: by mailbox, each event once, in the order of the read.
    fn wanted(&self, events: &[Arc<Event>]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let Some(kind) = self.kinds.get(&(event.company_id, event.subject_type.clone())) else { continue };
            wanted.extend(kind.interested(event).map(|(id, mailbox)| Wanted {
                mailbox_id: *id,
                mailbox: Arc::clone(mailbox),
                event: index,
            }));
        }
        wanted.sort_unstable_by_key(|wanted| (wanted.mailbox_id, wanted.event));
        // One subscription may be interested in an event for several reasons.
        wanted.dedup_by_key(|wanted| (wanted.mailbox_id, wanted.event));
        wanted
    }

    fn remove(&mut self, interest: &Interest, id: u64) {
        let key = (interest.company_id, interest.kind.to_owned());
        let Some(kind) = self.kinds.get_mut(&key) else { return };
        let mailboxes = kind.mailboxes(&interest.scope);
        mailboxes.remove(&id);
        if mailboxes.is_empty() {
            kind.forget_if_empty(&interest.scope);
        }
        if kind.is_empty() {
            self.kinds.remove(&key);
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    routes: Mutex<Routes>,
    /// Where this process's reader is; `None` until it has read once.
    position: Mutex<Option<Position>>,
    next_id: AtomicU64,
}

/// Routes the events of this process's reader to its subscriptions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    mailbox_capacity: usize,
}

impl Hub {
    /// A hub whose mailboxes hold `mailbox_capacity` events.
    pub fn new(mailbox_capacity: usize) -> Self {
        Self { shared: Arc::default(), mailbox_capacity }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailbox(&self) -> Arc<Mailbox> {
        Arc::new(Mailbox { capacity: self.mailbox_capacity, contents: Mutex::default(), filled: Notify::new() })
    }

    /// Registers: from now on every event that any of `interests` names is put in the subscription's mailbox once.
    pub fn subscribe(&self, interests: Vec<Interest>) -> Subscription {
        let mailbox = self.mailbox();
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let mut routes = self.routes();
        for interest in &interests {
            let kind = routes.kinds.entry((interest.company_id, interest.kind.to_owned())).or_default();
            kind.mailboxes(&interest.scope).insert(id, Arc::clone(&mailbox));
        }
        drop(routes);
        metrics::gauge!("switchboard_hub_subscriptions").increment(1.0);
        Subscription { hub: self.clone(), id, interests, mailbox }
    }

    /// The mailbox of every event about subjects of `kind`, of all companies: for this process's own caches.
    pub fn tap(&self, kind: &'static str) -> Arc<Mailbox> {
        Arc::clone(self.routes().taps.entry(kind).or_insert_with(|| self.mailbox()))
    }

    /// Hands out one read of the log.
    pub(super) fn deliver(&self, events: Vec<Event>, read: Read) {
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let read = Arc::new(read);
        let delivery = |events| Arc::new(Delivery { events, read: Arc::clone(&read) });
        let routes = self.routes();
        for event in &events {
            if let Some(tap) = routes.taps.get(event.subject_type.as_str()) {
                tap.put(delivery(vec![Arc::clone(event)]));
            }
        }
        let wanted = routes.wanted(&events);
        drop(routes);
        // Many subscriptions of one thing get the same events: one delivery is made for all of them.
        let mut previous: Option<(&[Wanted], Arc<Delivery>)> = None;
        for wanted in wanted.chunk_by(|one, next| one.mailbox_id == next.mailbox_id) {
            let chosen = || wanted.iter().map(|wanted| wanted.event);
            let same = previous.filter(|(others, _)| others.iter().map(|other| other.event).eq(chosen()));
            let delivery = match same {
                Some((_, delivery)) => delivery,
                None => delivery(chosen().map(|event| Arc::clone(&events[event])).collect()),
            };
            wanted[0].mailbox.put(Arc::clone(&delivery));
            previous = Some((wanted, delivery));
        }
        self.set_position(read.after.clone());
    }

    pub(super) fn set_position(&self, position: Position) {
        *self.shared.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// Everything of this position has been handed out; what is read from the database from now on includes it.
    pub fn position(&self) -> Option<Position> {
        self.shared.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The log has a gap or another history: every subscription sends its present state again.
    pub(super) fn resync_all(&self) {
        let routes = self.routes();
        for kind in routes.kinds.values() {
            let by_field = kind.by_field.values().flat_map(HashMap::values);
            for mailboxes in std::iter::once(&kind.all).chain(kind.by_subject.values()).chain(by_field) {
                for mailbox in mailboxes.values() {
                    mailbox.demand_resync();
                }
            }
        }
        for tap in routes.taps.values() {
            tap.demand_resync();
        }
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;

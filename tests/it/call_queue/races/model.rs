//! A small model of the queue of one company: it replays what happened and fails where the queue must not have done it.

use std::collections::{BTreeMap, HashMap, HashSet};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::recorder::Happened;

/// The times of the recorder are a little later than those by which the queue decides.
const BLUR: Duration = Duration::seconds(3);

/// What a queue starts with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) user_calls: i64,
    pub(super) system_calls: i64,
    pub(super) aging: Duration,
}

#[derive(Debug)]
struct Line {
    user: String,
    is_campaign: bool,
    is_open: bool,
    waiting: BTreeMap<i64, Uuid>,
}

/// When a user got its turn: in which transaction, and where it was a dispatch, which one.
type Turn = (usize, Option<usize>);

#[derive(Debug)]
struct User {
    limit: i64,
    active: HashSet<Uuid>,
    is_waiting: bool,
    turn: Turn,
    campaigns_since: Option<OffsetDateTime>,
}

/// What a model counted.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) transactions: usize,
    pub(super) started: usize,
    pub(super) dispatched: usize,
    pub(super) aged: usize,
    pub(super) canceled: usize,
    pub(super) retried: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.started += other.started;
        self.dispatched += other.dispatched;
        self.aged += other.aged;
        self.canceled += other.canceled;
        self.retried += other.retried;
    }
}

#[derive(Debug)]
pub(super) struct Model {
    rules: Rules,
    system_limit: i64,
    lines: HashMap<Uuid, Line>,
    users: HashMap<String, User>,
    /// Items that are tried again later, and their lines.
    retries: HashMap<Uuid, Uuid>,
    attempts: HashSet<Uuid>,
    pub(super) counts: Counts,
}

impl Model {
    /// Replays a company's history. `inbound`: the calls that take a slot whatever the limits.
    pub(super) fn replay(rules: Rules, inbound: &HashSet<Uuid>, history: &[Happened]) -> Self {
        let mut model = Self {
            rules,
            system_limit: rules.system_calls,
            lines: HashMap::new(),
            users: HashMap::new(),
            retries: HashMap::new(),
            attempts: HashSet::new(),
            counts: Counts::default(),
        };
        let (mut seen, mut last) = (HashSet::new(), None);
        let mut rest = history;
        while let Some(happened) = rest.first() {
            let in_dispatch = |other: &&Happened| other.xid == happened.xid && other.is_of_dispatch();
            let (now, later) = rest.split_at(rest.iter().take_while(in_dispatch).count().max(1));
            rest = later;
            if model.is_bookkeeping(happened) {
                continue;
            }
            if last != Some(happened.xid) {
                model.check_at_rest(happened);
                assert!(seen.insert(happened.xid), "two transactions were in one queue at once: {happened:?}");
                last = Some(happened.xid);
                model.counts.transactions += 1;
            }
            if happened.is_of_dispatch() {
                model.dispatch_all(now);
            } else {
                model.apply(inbound, happened);
            }
        }
        if let Some(last) = history.last() {
            model.check_at_rest(last);
        }
        model
    }

    /// Nothing waits, and no slot is in use.
    pub(super) fn check_ended(&self) {
        let waiting: usize = self.lines.values().map(|line| line.waiting.len()).sum();
        let active: usize = self.users.values().map(|user| user.active.len()).sum();
        assert_eq!((waiting, active), (0, 0), "not everything ended");
    }

    fn user(&mut self, name: &str) -> &mut User {
        let limit = self.rules.user_calls;
        self.users.entry(name.to_owned()).or_insert_with(|| User {
            limit,
            active: HashSet::new(),
            is_waiting: false,
            turn: (0, None),
            campaigns_since: None,
        })
    }

    /// The rows of a line that was canceled are written later, outside the lock.
    fn is_bookkeeping(&self, happened: &Happened) -> bool {
        let Some(item) = happened.item.filter(|_| happened.what == "canceled") else { return false };
        let is_in_line =
            self.lines.get(&happened.line).is_some_and(|line| line.waiting.values().any(|waiting| *waiting == item));
        !is_in_line && !self.retries.contains_key(&item)
    }

    fn active(&self) -> i64 {
        self.users.values().map(|user| i64::try_from(user.active.len()).unwrap()).sum()
    }

    fn waiting(&self, user: &str, is_campaign: bool) -> usize {
        let of = |line: &&Line| line.user == user && line.is_campaign == is_campaign && line.is_open;
        self.lines.values().filter(of).map(|line| line.waiting.len()).sum()
    }

    fn has_free_slot(&self, user: &str) -> bool {
        let (limit, active) = self
            .users
            .get(user)
            .map_or((self.rules.user_calls, 0), |user| (user.limit, i64::try_from(user.active.len()).unwrap()));
        self.active() < self.system_limit && active < limit
    }

    /// Between two transactions: no free slot beside an item that may have it.
    fn check_at_rest(&self, before: &Happened) {
        for (name, user) in &self.users {
            assert!(
                !(user.is_waiting && self.has_free_slot(name)),
                "{name} waits beside a free slot, before {before:?}: {} of {} slots, {:?}",
                self.active(),
                self.system_limit,
                user
            );
        }
    }

    fn apply(&mut self, inbound: &HashSet<Uuid>, happened: &Happened) {
        let number = happened.number.unwrap_or_default();
        match happened.what.as_str() {
            "system limit" => self.system_limit = happened.number.unwrap_or(self.rules.system_calls),
            "limit" => self.user(&happened.user).limit = number,
            "line" => {
                let line = Line {
                    user: happened.user.clone(),
                    is_campaign: number == 1,
                    is_open: true,
                    waiting: BTreeMap::new(),
                };
                self.lines.insert(happened.line, line);
            }
            "open" => self.line(happened).is_open = number == 1,
            "line canceled" => {
                let rest = self.line(happened).waiting.split_off(&(number + 1));
                assert!(rest.is_empty(), "{happened:?}");
                let canceled = std::mem::take(&mut self.line(happened).waiting);
                self.counts.canceled += canceled.len();
                self.retries.retain(|_, line| *line != happened.line);
            }
            "queued" => {
                let item = happened.item.unwrap();
                self.retries.remove(&item);
                let line = self.line(happened);
                let last = line.waiting.last_key_value().map(|(number, _)| *number);
                assert!(last.is_none_or(|last| last < number), "a number before the last one: {happened:?}");
                line.waiting.insert(number, item);
            }
            "canceled" => {
                let item = happened.item.unwrap();
                self.counts.canceled += 1;
                if self.retries.remove(&item).is_none() {
                    assert_eq!(self.line(happened).waiting.remove(&number), Some(item), "{happened:?}");
                }
            }
            "retry" => {
                self.counts.retried += 1;
                self.retries.insert(happened.item.unwrap(), happened.line);
            }
            "ended" => {}
            "taken" => {
                let is_inbound = inbound.contains(&happened.call);
                assert!(is_inbound || self.has_free_slot(&happened.user), "above a limit: {happened:?}");
                if !is_inbound {
                    self.counts.started += 1;
                    assert!(!self.user(&happened.user).is_waiting, "it went past its user's line: {happened:?}");
                }
                assert!(self.user(&happened.user).active.insert(happened.call), "two slots for a call: {happened:?}");
            }
            "freed" => assert!(self.user(&happened.user).active.remove(&happened.call), "{happened:?}"),
            other => panic!("unknown: {other}"),
        }
        self.settle(happened);
    }

    fn line(&mut self, happened: &Happened) -> &mut Line {
        self.lines.get_mut(&happened.line).unwrap_or_else(|| panic!("no such line: {happened:?}"))
    }

    /// What follows from a change: whether its user waits, and since when.
    fn settle(&mut self, happened: &Happened) {
        if happened.user.is_empty() {
            return;
        }
        let campaigns = self.waiting(&happened.user, true);
        let is_waiting = campaigns + self.waiting(&happened.user, false) > 0;
        let turn = (self.counts.transactions, None);
        let user = self.user(&happened.user);
        if is_waiting && !user.is_waiting {
            user.turn = turn;
        }
        user.is_waiting = is_waiting;
        user.campaigns_since = (campaigns > 0).then(|| user.campaigns_since.unwrap_or(happened.at));
    }

    /// Dispatches of one transaction, each with the slot that it took. They are made in rounds, in each of which a user has
    /// one item at most. A round is written at once, in no order: users have their turns in the order of the turns that they
    /// had before it.
    fn dispatch_all(&mut self, run: &[Happened]) {
        let calls = |what: &str| -> HashSet<Uuid> {
            run.iter().filter(|happened| happened.what == what).map(|happened| happened.call).collect()
        };
        assert_eq!(calls("dispatched"), calls("taken"), "a dispatch and its slot: {run:?}");
        let mut dispatched: Vec<&Happened> = run.iter().filter(|happened| happened.what == "dispatched").collect();
        while !dispatched.is_empty() {
            let mut users = HashSet::new();
            let size = dispatched.iter().take_while(|happened| users.insert(&happened.user)).count();
            let mut round: Vec<&Happened> = dispatched.drain(..size).collect();
            round.sort_by_key(|happened| self.user(&happened.user).turn);
            for happened in round {
                self.dispatch(happened);
            }
        }
    }

    fn dispatch(&mut self, happened: &Happened) {
        let (item, number) = (happened.item.unwrap(), happened.number.unwrap());
        assert!(self.attempts.insert(happened.call), "dispatched twice: {happened:?}");
        assert!(self.has_free_slot(&happened.user), "dispatched above a limit: {happened:?}");
        self.check_turn(happened);
        let line = self.line(happened);
        assert!(line.is_open, "dispatched from a line that is closed: {happened:?}");
        assert_eq!(line.waiting.pop_first(), Some((number, item)), "not the first of its line: {happened:?}");
        let is_campaign = line.is_campaign;
        self.check_priority(happened, is_campaign);
        self.counts.dispatched += 1;
        if is_campaign {
            self.user(&happened.user).campaigns_since = Some(happened.at);
        }
        self.settle(happened);
        let turn = (self.counts.transactions, Some(self.counts.dispatched));
        let user = self.user(&happened.user);
        user.turn = turn;
        assert!(user.active.insert(happened.call), "two slots for a call: {happened:?}");
    }

    /// Direct calls come first, unless the campaigns have waited for long enough.
    fn check_priority(&mut self, happened: &Happened, is_campaign: bool) {
        let since = self.user(&happened.user).campaigns_since;
        let waited = since.map_or(Duration::ZERO, |since| happened.at - since);
        let is_beside_others = self.waiting(&happened.user, !is_campaign) > 0;
        if !is_beside_others {
            return;
        }
        if is_campaign {
            self.counts.aged += 1;
            assert!(waited + BLUR >= self.rules.aging, "a campaign before a direct call after {waited}: {happened:?}");
        } else {
            assert!(waited - BLUR <= self.rules.aging, "a direct call before an aged campaign, {waited}: {happened:?}");
        }
    }

    /// Nobody who may be dispatched has waited for a turn since before this user's last one.
    fn check_turn(&mut self, happened: &Happened) {
        let turn = self.user(&happened.user).turn;
        for (name, other) in &self.users {
            if *name == happened.user || !other.is_waiting || !self.has_free_slot(name) {
                continue;
            }
            let is_earlier = match (other.turn, turn) {
                ((one, _), (two, _)) if one != two => one < two,
                ((_, Some(one)), (_, Some(two))) => one < two,
                // Both began to wait in one transaction: either may be first.
                _ => false,
            };
            assert!(!is_earlier, "{name} was before: {:?} and {turn:?}, {happened:?}", other.turn);
        }
    }
}

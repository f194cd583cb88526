//! What comes due: an offer that was not answered in its contract's time is flagged missed; a race that was not answered
//! in its own is expired.
//!
//! Both timers follow from the records ([`Record::timers`](crate::platform::unit::Record::timers)): each is set in the
//! transaction that creates the need and deleted in the one that removes it.
//!
//! Both give agents time to respond. If no server lived when one came due, no agent's phone rang, and it fires some time
//! after service resumed ([`service`](crate::platform::service)).

use uuid::Uuid;

use super::{
    CHAT, RACE,
    decision::Decision,
    events,
    record::{EXPIRE, MISS},
    rules::{CloseReason, RaceState},
    update::flag_missed,
    verb::{self, Found, Invocation, RaceVerb, Target},
};
use crate::platform::{
    error::{Error, Result},
    timer::{self, Handler, HandlerRef, Timer},
    unit::Unit,
};

/// Timers that came due while no server lived, and would count against agents who were not called.
pub(super) const FOR_PEOPLE: &[(&str, &str)] = &[(CHAT, MISS), (RACE, EXPIRE)];

/// Flags an offer missed.
#[derive(Debug)]
struct Miss {
    company_id: Uuid,
    chat_id: Uuid,
}

impl RaceVerb for Miss {
    const KIND: &'static str = "miss";
    type Outcome = ();

    fn invocation(&self) -> Invocation<'_> {
        Invocation { company_id: self.company_id, target: Target::RaceOf(self.chat_id), caller: None }
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<()> {
        // Due by the timer's row, which was checked under its lock, after `decision` was read.
        if let Some(chat) = decision.race().and_then(|race| race.chat(self.chat_id)).cloned() {
            flag_missed(decision, &chat);
        }
        Ok(())
    }
}

/// Withdraws the offers of a race that nobody answered.
#[derive(Debug)]
struct Expire {
    company_id: Uuid,
    key: Uuid,
}

impl RaceVerb for Expire {
    const KIND: &'static str = "expire";
    type Outcome = ();

    fn invocation(&self) -> Invocation<'_> {
        Invocation { company_id: self.company_id, target: Target::Key(self.key), caller: None }
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<()> {
        if decision.race().is_some_and(|race| race.record.state == RaceState::Waiting) {
            decision.withdraw_offers(CloseReason::Expired, events::CHAT_EXPIRED);
            decision.change_race(events::RACE_EXPIRED, |race| race.state = RaceState::Expired);
            decision.count("switchboard_races_expired_total", &[]);
        }
        Ok(())
    }
}

fn subject_id(timer: &Timer) -> Result<Uuid> {
    timer.subject_id.parse().map_err(Error::internal)
}

/// The verbs of some timers.
fn verbs<V>(timers: &[Timer], verb: impl Fn(Uuid, Uuid) -> V) -> Result<Vec<V>> {
    timers.iter().map(|timer| Ok(verb(timer.company_id, subject_id(timer)?))).collect()
}

async fn lock<V: RaceVerb>(unit: &mut Unit<'_>, verbs: &[V]) -> Result<Found> {
    verb::lock(unit.connection(), &verbs.iter().collect::<Vec<_>>()).await
}

async fn fire<V: RaceVerb>(unit: &mut Unit<'_>, found: &Found, verbs: &[V]) -> Result<()> {
    verb::write_locked(unit, &verbs.iter().collect::<Vec<_>>(), found).await
}

/// Fires the timers of offers.
struct MissTimer;

impl Handler for MissTimer {
    const SUBJECT_TYPE: &'static str = CHAT;
    const PURPOSE: &'static str = MISS;
    type Locked = Found;

    async fn lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Found> {
        lock(unit, &verbs(timers, |company_id, chat_id| Miss { company_id, chat_id })?).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, found: Found, due: &[Timer]) -> Result<()> {
        fire(unit, &found, &verbs(due, |company_id, chat_id| Miss { company_id, chat_id })?).await
    }
}

/// Fires the timers of races.
struct ExpireTimer;

impl Handler for ExpireTimer {
    const SUBJECT_TYPE: &'static str = RACE;
    const PURPOSE: &'static str = EXPIRE;
    type Locked = Found;

    async fn lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Found> {
        lock(unit, &verbs(timers, |company_id, key| Expire { company_id, key })?).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, found: Found, due: &[Timer]) -> Result<()> {
        fire(unit, &found, &verbs(due, |company_id, key| Expire { company_id, key })?).await
    }
}

/// What is done when timers of this concept come due.
pub(super) fn handlers() -> Vec<HandlerRef> {
    vec![timer::handler(MissTimer), timer::handler(ExpireTimer)]
}

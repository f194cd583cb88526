//! What comes due: a line is looked at because somebody waits for a holder that may have died.

use super::{
    line::{LineKey, LockedLine},
    record::{OPERATION, REAP},
    sql,
};
use crate::platform::{
    error::Result,
    timer::{self, Handler, HandlerRef, Timer},
    unit::Unit,
};

/// Hands lines over whose holders have died.
struct ReapTimer;

impl Handler for ReapTimer {
    const SUBJECT_TYPE: &'static str = OPERATION;
    const PURPOSE: &'static str = REAP;
    type Locked = ();

    async fn lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<()> {
        for key in keys(timers) {
            sql::lock(unit.connection(), &key).await?;
        }
        Ok(())
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        for key in keys(due) {
            // Reaps by itself, and sets the timer for the next holder.
            LockedLine::lock(unit, &key, ("", ""), false).await?.write(unit, None).await?;
        }
        Ok(())
    }
}

/// The lines of some timers, in the order in which they are locked.
fn keys(timers: &[Timer]) -> Vec<LineKey> {
    let mut keys: Vec<LineKey> = timers.iter().map(|timer| LineKey::new(timer.company_id, &timer.subject_id)).collect();
    keys.sort_unstable_by(|one, other| (one.company_id, &one.chat_id).cmp(&(other.company_id, &other.chat_id)));
    keys
}

/// What is done when timers of this concept come due.
pub(super) fn handlers() -> Vec<HandlerRef> {
    vec![timer::handler(ReapTimer)]
}

//! What comes due: a line is looked at because somebody waits for a holder that may have died.

use std::time::Duration;

use super::{
    OperationSettings,
    line::{Decision, LineKey},
    record::{OPERATION, REAP},
    sql,
    verb::{self, LineCall, LineVerb},
};
use crate::platform::{
    error::Result,
    timer::{self, Handler, HandlerRef, Timer, Tried},
    unit::Unit,
};

/// Looks at a line. Every decision over a line begins by taking it from a dead holder, so nothing is left to do.
struct Reap {
    key: LineKey,
}

impl LineVerb for Reap {
    type Outcome = ();

    fn key(&self) -> &LineKey {
        &self.key
    }

    fn request(&self) -> (&str, &str) {
        ("", "")
    }

    fn caller(&self) -> Option<&str> {
        None
    }

    fn decide(&self, _: &mut Decision) -> Result<()> {
        Ok(())
    }
}

/// Hands lines over whose holders have died.
struct ReapTimer {
    /// How long finished requests are remembered.
    memory: Duration,
}

impl Handler for ReapTimer {
    const SUBJECT_TYPE: &'static str = OPERATION;
    const PURPOSE: &'static str = REAP;
    type Locked = ();

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
        let mut is_held = Vec::with_capacity(timers.len());
        for timer in timers {
            is_held.push(sql::try_lock(unit.connection(), &LineKey::new(timer.company_id, &timer.subject_id)).await?);
        }
        Ok(Tried { locked: (), is_held })
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        for timer in due {
            let key = LineKey::new(timer.company_id, &timer.subject_id);
            // Sets the timer for the next holder. What it locks is locked already.
            verb::run_locked(&[&LineCall::new(Reap { key }, self.memory)], unit).await?;
        }
        Ok(())
    }
}

/// What is done when timers of this concept come due.
pub(super) fn handlers(settings: &OperationSettings) -> Vec<HandlerRef> {
    vec![timer::handler(ReapTimer { memory: settings.operation_memory })]
}

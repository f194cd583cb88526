//! What a concept does when its timers come due.

use std::{future::Future, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Group, Timer, scheduler::Report, sql};
use crate::platform::{
    error::Result,
    unit::{Unit, Verb},
};

/// The effect of timers of one purpose. Many of one company fire in one transaction.
pub trait Handler: Send + Sync + 'static {
    /// The type of the subjects.
    const SUBJECT_TYPE: &'static str;
    /// The purpose of the timers.
    const PURPOSE: &'static str;
    /// What was read under the locks.
    type Locked: Send;

    /// Tries to lock the subjects of `timers`, and their parents before them, in the order of every other writer of the
    /// concept (`skip locked`). Never waits.
    fn try_lock(
        &self,
        unit: &mut Unit<'_>,
        timers: &[Timer],
    ) -> impl Future<Output = Result<Tried<Self::Locked>>> + Send;

    /// Has the effect of those timers that are due, with their subjects locked. An effect that is no longer needed is
    /// no error.
    fn fire(&self, unit: &mut Unit<'_>, locked: Self::Locked, due: &[Timer])
    -> impl Future<Output = Result<()>> + Send;
}

/// What came of trying to lock the subjects of some timers.
#[derive(Debug)]
pub struct Tried<L> {
    /// What was read under the locks.
    pub locked: L,
    /// For each timer: false if somebody else has its subject locked. A subject that does not exist is not locked by
    /// anybody; its timer fires without an effect.
    pub is_held: Vec<bool>,
}

/// A handler of any type.
pub type HandlerRef = Arc<dyn AnyHandler>;

/// Makes `handler` one of a list.
pub fn handler<H: Handler>(handler: H) -> HandlerRef {
    Arc::new(handler)
}

/// A [`Handler`] without its type.
pub trait AnyHandler: Send + Sync {
    /// The type of the subjects and the purpose.
    fn handles(&self) -> (&'static str, &'static str);

    /// Has the effect of those of `timers` that are due and whose subjects are free. All of them are of one company.
    fn run<'a>(&'a self, unit: &'a mut Unit<'_>, timers: &'a [Timer]) -> BoxFuture<'a, Result<Report>>;
}

impl<H: Handler> AnyHandler for H {
    fn handles(&self) -> (&'static str, &'static str) {
        (H::SUBJECT_TYPE, H::PURPOSE)
    }

    fn run<'a>(&'a self, unit: &'a mut Unit<'_>, timers: &'a [Timer]) -> BoxFuture<'a, Result<Report>> {
        async move {
            let mut report = Report::default();
            let Some(first) = timers.first() else { return Ok(report) };
            let group = Group { company_id: first.company_id, subject_type: H::SUBJECT_TYPE, purpose: H::PURPOSE };
            let claimed = sql::claim(unit.connection(), &group, timers).await?;
            report.needless += timers.len() - claimed.len();
            if claimed.is_empty() {
                return Ok(report);
            }
            let Tried { locked, is_held } = self.try_lock(unit, &claimed).await?;
            let tried = claimed.len();
            let held: Vec<Timer> =
                claimed.into_iter().zip(is_held).filter_map(|(timer, held)| held.then_some(timer)).collect();
            report.skipped += tried - held.len();
            // Deleted before the effect, which may set the timer anew. Committed also where the effect is not needed.
            let due = sql::take(unit.connection(), &group, &held).await?;
            report.needless += held.len() - due.len();
            report.fired += due.len();
            if !due.is_empty() {
                unit.mark_changed();
                self.fire(unit, locked, &due).await?;
            }
            Ok(report)
        }
        .boxed()
    }
}

/// Firing some timers of one handler, as a verb.
pub(super) struct Fire<'a> {
    pub(super) handler: &'a dyn AnyHandler,
    pub(super) timers: &'a [Timer],
}

impl Verb for Fire<'_> {
    type Outcome = Report;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Report> {
        self.handler.run(unit, self.timers).await
    }
}

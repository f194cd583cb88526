//! What a concept does when its timers come due.

use std::{future::Future, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{Timer, sql};
use crate::platform::{
    error::Result,
    unit::{Unit, Verb},
};

/// The effect of timers of one purpose. Several of one company may fire in one transaction.
pub trait Handler: Send + Sync + 'static {
    /// The type of the subjects.
    const SUBJECT_TYPE: &'static str;
    /// The purpose of the timers.
    const PURPOSE: &'static str;
    /// What was read under the locks.
    type Locked: Send;

    /// Locks the subjects of `timers`, and their parents before them, as every writer of the concept does.
    fn lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> impl Future<Output = Result<Self::Locked>> + Send;

    /// Has the effect of those timers that are due, with their subjects locked. An effect that is no longer needed is
    /// no error.
    fn fire(&self, unit: &mut Unit<'_>, locked: Self::Locked, due: &[Timer])
    -> impl Future<Output = Result<()>> + Send;
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

    /// Locks, checks which of `timers` are due, deletes those, and has their effect. Returns how many fired.
    fn run<'a>(&'a self, unit: &'a mut Unit<'_>, timers: &'a [Timer]) -> BoxFuture<'a, Result<usize>>;
}

impl<H: Handler> AnyHandler for H {
    fn handles(&self) -> (&'static str, &'static str) {
        (H::SUBJECT_TYPE, H::PURPOSE)
    }

    fn run<'a>(&'a self, unit: &'a mut Unit<'_>, timers: &'a [Timer]) -> BoxFuture<'a, Result<usize>> {
        async move {
            let locked = self.lock(unit, timers).await?;
            let mut due = Vec::new();
            for timer in timers {
                if sql::lock_due(unit.connection(), timer).await? {
                    sql::delete(unit.connection(), timer).await?;
                    due.push(timer.clone());
                }
            }
            if !due.is_empty() {
                // The deletion is to be committed also where the effect is no longer needed.
                unit.mark_changed();
                self.fire(unit, locked, &due).await?;
            }
            Ok(due.len())
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
    type Outcome = usize;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<usize> {
        self.handler.run(unit, self.timers).await
    }
}

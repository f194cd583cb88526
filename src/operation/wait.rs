//! A call in a line, from its arrival to its reply, in a task of its own.
//!
//! The caller may go away at any moment, also while the batch runs by which it arrives. So the task outlives its
//! caller just long enough to leave the line, after what it has begun, never beside it:
//!
//! ```text
//! caller goes ─► waiting: leaves the line, …Hold_Failed
//!            └─► granted: the grant is kept for a repeat of the request for 5 s, then released as failed
//! ```
//! If leaving fails too, because the database is away, the place is given up when its time has passed, and a grant when
//! its lease ends.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    Operations,
    coordinate::{Arrive, Settle},
    line::LineKey,
    record::{OPERATION, WAITER},
    rules::{self, Arrival, Grant, Look, Request, Settled},
};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
    event::{Interest, hub::Scope},
};

/// One attempt of a request at a line.
#[derive(Debug, Clone)]
struct Attempt {
    operations: Operations,
    key: LineKey,
    request: Request,
}

impl Attempt {
    async fn look(&self, look: Look) -> Result<Settled> {
        let (key, request) = (self.key.clone(), self.request.clone());
        self.operations.run(Settle { key, request, look }).await
    }

    /// Leaves the line, or gives up what was granted.
    async fn leave(&self) {
        if let Err(error) = self.look(Look::Abandon).await {
            tracing::debug!(error = error.chain(), "a caller that is gone could not leave its line");
        }
    }
}

/// A grant on its way to its caller. Dropped before the caller has taken it, it is given up.
struct Delivery {
    grant: Option<Grant>,
    attempt: Attempt,
}

impl Delivery {
    fn take(mut self) -> Result<Grant> {
        self.grant.take().ok_or_else(|| Error::internal("a grant was delivered twice"))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.grant.is_some() {
            let attempt = self.attempt.clone();
            tokio::spawn(async move { attempt.leave().await });
        }
    }
}

/// The events by which an attempt learns what became of it.
pub(super) fn interest(company_id: Uuid, attempt: Uuid) -> Interest {
    Interest { company_id, subject_type: OPERATION, scope: Scope::Field(WAITER, attempt.to_string()) }
}

impl Operations {
    /// Enters a line; waits if it is held. Cancel-safe: a caller that is gone leaves nothing behind.
    pub(super) async fn enter(&self, principal: &Principal, key: LineKey, request: Request) -> Result<Grant> {
        let gone = CancellationToken::new();
        let (reply, replied) = oneshot::channel();
        let (operations, principal, caller_gone) = (self.clone(), principal.clone(), gone.clone());
        let attempt = Attempt { operations: self.clone(), key, request };
        let waiting = async move {
            let outcome = operations.wait(principal, &attempt, &caller_gone).await;
            // A caller that is gone drops the delivery.
            let _ = reply.send(outcome.map(|grant| Delivery { grant: Some(grant), attempt }));
        };
        tokio::spawn(waiting.in_current_span());
        let _going = gone.drop_guard();
        replied.await.map_err(|_| Error::internal("a call in a line ended without a reply"))??.take()
    }

    async fn wait(&self, principal: Principal, attempt: &Attempt, caller_gone: &CancellationToken) -> Result<Grant> {
        let Attempt { key, request, .. } = attempt;
        // Before the request arrives, so that its grant is not missed.
        let mut watch = self.hub.watch(vec![interest(key.company_id, request.attempt)]);
        let arrived = self.run(Arrive { key: key.clone(), principal, request: request.clone() }).await?;
        if let Arrival::Granted(grant) = arrived {
            return Ok(grant);
        }
        let deadline = Instant::now() + Duration::from_millis(request.wait_ms.unsigned_abs().into());
        loop {
            let look = tokio::select! {
                () = caller_gone.cancelled() => {
                    attempt.leave().await;
                    return Err(Error::unavailable("the caller is gone"));
                }
                () = self.stopping.cancelled() => {
                    attempt.leave().await;
                    return Err(Error::unavailable("the server is stopping"));
                }
                is_told = watch.changed_before(deadline) => if is_told { Look::Claim } else { Look::TimeOut },
            };
            match attempt.look(look).await? {
                Settled::Granted(grant) => return Ok(grant),
                Settled::Waiting => {}
                Settled::TakenOver => return Err(rules::taken_over()),
                Settled::Gone => return Err(rules::wait_timeout()),
            }
        }
    }
}

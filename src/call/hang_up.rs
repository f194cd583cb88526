//! `hangUpCall` and `scheduleHangUp`: one hang-up, however many ask for it, now or later.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Calls,
    answer::Answer,
    locked::{Found, LockedCall},
    record::{CALL_CANCELED, CALL_HANG_UP_REQUESTED, CALL_HANG_UP_SCHEDULED, CallName, CallRecord},
    report, rights,
    rules::{self, CallStatus, HangUpOutcome},
    sql::{self, ParkedNews},
};
use crate::{
    call_queue::slots::{self, Undispatched},
    platform::{
        auth::Principal,
        clock,
        error::{Code, Error, Result},
        idempotency::IdempotencyKey,
        unit::{Lines, Unit, Verb},
    },
};

struct HangUp {
    company_id: Uuid,
    actor: String,
    id: Uuid,
    name: CallName,
    most_parked: i64,
}

impl Verb for HangUp {
    type Outcome = Answer<HangUpOutcome>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        if let CallName::Id(id) = self.name {
            match slots::end_undialled(unit, self.company_id, id, Some(&self.actor)).await? {
                Some(Undispatched::Canceled(call)) => return Ok(Answer::new(HangUpOutcome::Initiated, Some(call))),
                Some(Undispatched::Ended(call)) => return Ok(Answer::new(HangUpOutcome::AlreadyEnded, Some(call))),
                None => {}
            }
        }
        let id = match &self.name {
            CallName::Id(id) => *id,
            CallName::ControlId(name) => {
                let Some(id) = sql::lock_name(unit.connection(), self.company_id, name).await? else {
                    let now = sql::now(unit.connection()).await?;
                    let news = ParkedNews { id: self.id, status: None, end_reason: None, occurred_at: now };
                    report::park(unit, self.company_id, name, &news, now, self.most_parked).await?;
                    return Ok(Answer::new(HangUpOutcome::Parked, None));
                };
                id
            }
        };
        let locked = LockedCall::lock_id(unit, self.company_id, id).await?;
        let locked = locked.ok_or_else(|| Error::not_found("call"))?;
        let (outcome, call) = hang_up(unit, locked, Some(&self.actor)).await?;
        Ok(Answer::new(outcome, Some(call)))
    }

    fn lines(&self) -> Lines {
        self.name.lines(self.company_id, &self.actor)
    }
}

/// Hangs a locked call up on behalf of a caller or of a timer.
pub(super) async fn hang_up(
    unit: &mut Unit<'_>,
    mut locked: LockedCall,
    actor: Option<&str>,
) -> Result<(HangUpOutcome, CallRecord)> {
    let now = locked.now;
    let outcome = rules::hang_up(&mut locked.call, now);
    let label = match outcome {
        HangUpOutcome::Initiated => "initiated",
        HangUpOutcome::AlreadyPending => "already_pending",
        HangUpOutcome::AlreadyEnded | HangUpOutcome::Parked => "already_ended",
    };
    unit.changes().count("switchboard_call_hang_ups_total", &[("outcome", label)]);
    let is_canceled = locked.call.status == CallStatus::Ended;
    let event_type = if is_canceled { CALL_CANCELED } else { CALL_HANG_UP_REQUESTED };
    Ok((outcome, locked.write(unit, event_type, actor).await?))
}

struct Schedule {
    company_id: Uuid,
    actor: String,
    name: CallName,
    after: Option<Duration>,
}

impl Verb for Schedule {
    type Outcome = (Option<OffsetDateTime>, CallRecord);

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        let found = LockedCall::find(unit, self.company_id, &self.name).await?;
        let mut locked = match found.ok_or_else(|| Error::not_found("call"))? {
            Found::Locked(locked) => *locked,
            Found::Ended(call) => return Ok((None, *call)),
        };
        let call = &mut locked.call;
        if !call.is_dialled() {
            return Err(Error::conflict("the call was not dialled yet"));
        }
        if call.status.is_over() {
            return Ok((None, locked.write(unit, CALL_HANG_UP_SCHEDULED, Some(&self.actor)).await?));
        }
        if self.after == Some(Duration::ZERO) {
            let (_, call) = hang_up(unit, locked, Some(&self.actor)).await?;
            return Ok((call.hang_up_at, call));
        }
        call.hang_up_at = self.after.map(|after| locked.now + after);
        let call = locked.write(unit, CALL_HANG_UP_SCHEDULED, Some(&self.actor)).await?;
        Ok((call.hang_up_at, call))
    }

    fn lines(&self) -> Lines {
        self.name.lines(self.company_id, &self.actor)
    }
}

impl Calls {
    /// Asks for a call to be hung up: of any number of requests one begins it.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND` for an unknown id; `RATE_LIMITED` when too much is
    /// parked; `IDEMPOTENCY_MISMATCH` for a command that was given with another reason.
    #[tracing::instrument(name = "call.hang_up", skip_all)]
    pub async fn hang_up(
        &self,
        principal: &Principal,
        name: CallName,
        reason: &str,
        command_id: Option<&str>,
    ) -> Result<(HangUpOutcome, Option<Arc<CallRecord>>)> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        // A command is of the call, so that another dialer may repeat it.
        let new_key = |key| IdempotencyKey::new(company_id, &name.owner(), "hangUpCall", key, &reason);
        let key = command_id.map(new_key).transpose()?;
        let most_parked = self.settings.call_news;
        let hang_up = HangUp { company_id, actor, id: clock::new_id(), name, most_parked };
        self.answered(company_id, key, hang_up).await.map_err(|error| match error.code() {
            Code::IdempotencyMismatch => {
                Error::new(Code::IdempotencyMismatch, "commandId: this command was given with another reason")
            }
            _ => error,
        })
    }

    /// Hangs a call up later. Replaces the earlier time; `None` cancels it, zero means now. On a call that ends nothing is
    /// set. Returns the time.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a call that was not dialled.
    #[tracing::instrument(name = "call.schedule_hang_up", skip_all)]
    pub async fn schedule_hang_up(
        &self,
        principal: &Principal,
        name: CallName,
        after: Option<Duration>,
    ) -> Result<(Option<OffsetDateTime>, CallRecord)> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Schedule { company_id, actor, name, after }).await
    }
}

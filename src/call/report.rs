//! `updateCallStatus`: news of a call, in any order and any number of times.
//!
//! ```text
//! call known   ─► lock it ─► merge ─► changed: APPLIED     unchanged: STALE
//! name unknown ─► lock the name ─► park the news: PARKED ─► merged when a call takes the name
//! ```
//! News, hang-ups and the assignment of a name insert the name's row on conflict do nothing and then lock it. Without that
//! lock, news that finds no call would park beside an assignment that sees no news, for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Calls,
    answer::Answer,
    end::End,
    locked::{Found, LockedCall},
    record::{CALL_REPORTED, CallName, CallRecord},
    rights,
    rules::{self, CallStatus, EndReason, News},
    sql::{self, ParkedNews},
};
use crate::{
    call_queue::slots::{self, Undispatched},
    platform::{
        auth::Principal,
        clock,
        error::{Code, Error, Result},
        idempotency::IdempotencyKey,
        unit::{InLine, Lines, Unit, Verb},
    },
};

/// News from further in the future counts as news of that moment: the reporter's clock is wrong.
const CLOCK_TOLERANCE: Duration = Duration::minutes(5);

/// What became of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, async_graphql::Enum)]
#[graphql(name = "CallReportOutcome")]
pub enum ReportOutcome {
    /// The call is another one now.
    Applied,
    /// It was late or repeated; nothing has changed.
    Stale,
    /// No call has this name yet. It is applied when one takes it.
    Parked,
}

/// News of a call. Its fields are within their bounds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The call, by our id or by the provider's name.
    pub name: CallName,
    /// The state that the provider reports.
    pub status: CallStatus,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// The provider's name for it, from now on.
    pub assign_call_control_id: Option<String>,
    /// When it happened; `None`: now.
    #[serde(with = "time::serde::rfc3339::option")]
    pub occurred_at: Option<OffsetDateTime>,
}

/// One call of the mutation.
#[derive(Debug, Clone)]
pub(super) struct Tell {
    pub(super) company_id: Uuid,
    pub(super) actor: String,
    id: Uuid,
    pub(super) report: Report,
    most_parked: i64,
}

impl Tell {
    fn occurred_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.report.occurred_at.unwrap_or(now).min(now + CLOCK_TOLERANCE)
    }

    /// True if the news may end the call, so that the slots are locked first. Parked news of the name that it assigns may end
    /// the call, too.
    pub(super) fn may_end(&self) -> bool {
        self.report.status == CallStatus::Ended || self.report.assign_call_control_id.is_some()
    }

    /// Where it waits for the other verbs on its call.
    pub(super) fn line(&self) -> Lines {
        self.report.name.lines(self.company_id, &self.actor)
    }

    /// Parks the news; the name is locked and no call has it.
    async fn park(&self, unit: &mut Unit<'_>, name: &str) -> Result<()> {
        let now = sql::now(unit.connection()).await?;
        let (status, end_reason) = (Some(self.report.status), self.report.end_reason);
        let news = ParkedNews { id: self.id, status, end_reason, occurred_at: self.occurred_at(now) };
        park(unit, self.company_id, name, &news, now, self.most_parked).await
    }

    /// The name that the call is to be given, if it has none yet; `named`: the call that has the name.
    ///
    /// # Errors
    /// `CONFLICT` if the call has another name, or the name another call.
    fn new_name(&self, call: &CallRecord, named: Option<Uuid>) -> Result<Option<&str>> {
        let Some(name) = self.report.assign_call_control_id.as_deref() else { return Ok(None) };
        match &call.call_control_id {
            Some(first) if first == name => Ok(None),
            Some(_) => Err(Error::conflict("the call has another callControlId, which it keeps")),
            None if named.is_some_and(|other| other != call.id) => {
                Err(Error::conflict("another call has this callControlId"))
            }
            None => Ok(Some(name)),
        }
    }

    /// Merges the news into its call. The name that it assigns is locked; `named`: the call that has it. The event is
    /// recorded; the row is not yet written, nor the slot renewed. The outer error is a fault of the server.
    pub(super) async fn merge(
        &self,
        unit: &mut Unit<'_>,
        locked: &mut LockedCall,
        named: Option<Uuid>,
    ) -> Result<Result<Answer<ReportOutcome>>> {
        let Report { status, end_reason, .. } = self.report;
        if locked.call.status == CallStatus::Queued && status > CallStatus::Reserved && status != CallStatus::Ended {
            return Ok(Err(Error::conflict("the call is queued and was not dialled")));
        }
        match self.new_name(&locked.call, named) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(None) => {}
            Ok(Some(name)) => {
                locked.call.call_control_id = Some(name.to_owned());
                sql::give_name(unit.connection(), self.company_id, name, locked.call.id).await?;
                let now = locked.now;
                merge_parked(unit, &mut locked.call, name, now).await?;
            }
        }
        let news = News { status, end_reason, occurred_at: self.occurred_at(locked.now) };
        rules::merge(&mut locked.call, &news);
        rules::hear_again(&mut locked.call, &news);
        // Whatever was reported: somebody has the call in view.
        locked.call.asked = false;
        let outcome = if locked.is_changed() { ReportOutcome::Applied } else { ReportOutcome::Stale };
        let label = if outcome == ReportOutcome::Applied { "applied" } else { "stale" };
        unit.changes().count("switchboard_call_reports_total", &[("outcome", label)]);
        locked.record(unit, CALL_REPORTED, Some(&self.actor))?;
        Ok(Ok(Answer::new(outcome, Some(locked.call.clone()))))
    }
}

impl Verb for Tell {
    type Outcome = Answer<ReportOutcome>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        let Report { name, status, assign_call_control_id, .. } = &self.report;
        if self.may_end() {
            slots::lock(unit, self.company_id).await?;
        }
        // Names before calls; a caller that gives both locks the smaller name first.
        let mut names: Vec<&str> = assign_call_control_id.as_deref().into_iter().collect();
        if let CallName::ControlId(name) = name {
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        let mut known = Vec::new();
        for name in names {
            known.push((name, sql::lock_name(unit.connection(), self.company_id, name).await?));
        }
        let call_of = |wanted: &str| known.iter().find(|(name, _)| *name == wanted).and_then(|(_, id)| *id);
        let id = match name {
            CallName::Id(id) => *id,
            CallName::ControlId(name) => match call_of(name) {
                Some(id) => id,
                None if *status <= CallStatus::Reserved => return Ok(Answer::new(ReportOutcome::Stale, None)),
                None => {
                    self.park(unit, name).await?;
                    return Ok(Answer::new(ReportOutcome::Parked, None));
                }
            },
        };
        if *status == CallStatus::Ended {
            match slots::end_queued(unit, self.company_id, id, Some(&self.actor)).await? {
                Some(Undispatched::Canceled(call)) => return Ok(Answer::new(ReportOutcome::Applied, Some(call))),
                Some(Undispatched::Ended(_)) | None => {}
            }
        }
        let found = LockedCall::find(unit, self.company_id, &CallName::Id(id)).await?;
        let mut locked = match found.ok_or_else(|| Error::not_found("call"))? {
            Found::Locked(locked) => *locked,
            Found::Ended(_) if assign_call_control_id.is_some() => {
                return Err(Error::conflict("the call ended in the queue and was never dialled"));
            }
            Found::Ended(call) => return Ok(Answer::new(ReportOutcome::Stale, Some(*call))),
        };
        let owner = assign_call_control_id.as_deref().and_then(call_of);
        let answer = self.merge(unit, &mut locked, owner).await??;
        write(unit, &[locked]).await?;
        Ok(answer)
    }

    fn lines(&self) -> Lines {
        self.line()
    }
}

/// Writes calls of one company of which there was news, and renews their slots.
pub(super) async fn write(unit: &mut Unit<'_>, told: &[LockedCall]) -> Result<()> {
    let live = told.iter().filter(|locked| locked.call.status != CallStatus::Ended);
    let ids: Vec<Uuid> = live.map(|locked| locked.call.id).collect();
    let Some(first) = told.first() else { return Ok(()) };
    slots::renew(unit, first.call.company_id, &ids, first.now).await?;
    LockedCall::write_all(unit, &told.iter().collect::<Vec<_>>()).await
}

/// Parks news of a name that is locked and that no call has.
pub(super) async fn park(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    name: &str,
    news: &ParkedNews,
    now: OffsetDateTime,
    most: i64,
) -> Result<()> {
    if !sql::park_news(unit.connection(), company_id, name, news, now, most).await? {
        return Err(Error::new(Code::RateLimited, "too much news of calls that are not known"));
    }
    unit.mark_changed();
    unit.changes().count("switchboard_call_reports_total", &[("outcome", "parked")]);
    Ok(())
}

/// Merges the parked news of a name into the call that takes it; name and call are locked.
pub(super) async fn merge_parked(
    unit: &mut Unit<'_>,
    call: &mut CallRecord,
    name: &str,
    now: OffsetDateTime,
) -> Result<()> {
    let mut is_to_hang_up = false;
    for parked in sql::take_news(unit.connection(), call.company_id, name).await? {
        let (end_reason, occurred_at) = (parked.end_reason, parked.occurred_at);
        match parked.status {
            Some(status) => rules::merge(call, &News { status, end_reason, occurred_at }),
            None => is_to_hang_up = true,
        }
    }
    if is_to_hang_up {
        rules::hang_up(call, now);
    }
    Ok(())
}

impl Calls {
    /// Reports what happened to a call; see the module.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND` for an unknown id; `CONFLICT` for a second name, a name
    /// in use, and progress of a call that is still queued; `RATE_LIMITED` when too much is parked; `IDEMPOTENCY_MISMATCH`.
    #[tracing::instrument(name = "call.report", skip_all)]
    pub async fn report(
        &self,
        principal: &Principal,
        report: Report,
        key: Option<&str>,
    ) -> Result<(ReportOutcome, Option<Arc<CallRecord>>)> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        let new_key = |key| IdempotencyKey::new(company_id, &rights::name(principal), "updateCallStatus", key, &report);
        let key = key.map(new_key).transpose()?;
        let most_parked = self.settings.call_news;
        let tell = Tell { company_id, actor, id: clock::new_id(), report, most_parked };
        if !tell.may_end() {
            return self.answered(company_id, key, tell).await;
        }
        // With its company's other ends. Calls that are named alike wait for each other, here and in all other verbs.
        let (line, ends) = (tell.line(), &self.ends);
        let told = async {
            match ends.run(End { tell: tell.clone(), key: key.clone() }).await? {
                Some(answer) => self.shown(company_id, answer).await,
                None => self.answered(company_id, key, InLine(tell)).await,
            }
        };
        self.work.in_line(line, told).await
    }
}

//! What comes due for campaigns: a window opens or closes, a scheduled campaign starts.

use uuid::Uuid;

use super::{
    CAMPAIGN, CampaignRecord, CampaignStatus,
    record::{CAMPAIGN_STARTED, CAMPAIGN_WINDOW_TURNED, START, WINDOW},
    sql,
};
use crate::{
    call::sql as call_sql,
    call_queue::slots,
    platform::{
        error::{Error, Result},
        timer::{self, Handler, HandlerRef, Timer, Tried},
        unit::Unit,
    },
};

async fn try_lock(unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
    // All of one company, whose slots are the lock of its campaigns.
    let Some(first) = timers.first() else { return Ok(Tried { locked: (), is_held: Vec::new() }) };
    let is_held = slots::try_lock(unit, first.company_id).await?;
    Ok(Tried { locked: (), is_held: timers.iter().map(|_| is_held).collect() })
}

/// Changes the campaigns of some timers and dispatches.
async fn change(
    unit: &mut Unit<'_>,
    due: &[Timer],
    event_type: &'static str,
    change: fn(&mut CampaignRecord),
) -> Result<()> {
    let Some(company_id) = due.first().map(|timer| timer.company_id) else { return Ok(()) };
    let now = call_sql::now(unit.connection()).await?;
    for timer in due {
        let id: Uuid = timer.subject_id.parse().map_err(Error::internal)?;
        let Some(before) = sql::find(unit.connection(), company_id, id).await? else { continue };
        if before.status == CampaignStatus::Canceled {
            continue;
        }
        let mut campaign = before.clone();
        change(&mut campaign);
        campaign.turn_window(now)?;
        campaign.version += 1;
        campaign.updated_at = now;
        sql::update(unit.connection(), &campaign).await?;
        // The timer that fired is gone: its next one is set whatever it was before.
        let fired = CampaignRecord { window_turns_at: None, starts_at: None, ..before };
        unit.changes().record(event_type, None, &campaign, Some(&fired))?;
    }
    slots::dispatch(unit, company_id).await
}

struct WindowTimer;

impl Handler for WindowTimer {
    const SUBJECT_TYPE: &'static str = CAMPAIGN;
    const PURPOSE: &'static str = WINDOW;
    type Locked = ();

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        change(unit, due, CAMPAIGN_WINDOW_TURNED, |_| {}).await
    }
}

struct StartTimer;

impl Handler for StartTimer {
    const SUBJECT_TYPE: &'static str = CAMPAIGN;
    const PURPOSE: &'static str = START;
    type Locked = ();

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        let start = |campaign: &mut CampaignRecord| {
            if campaign.status == CampaignStatus::Scheduled {
                campaign.status = CampaignStatus::Active;
            }
        };
        change(unit, due, CAMPAIGN_STARTED, start).await
    }
}

/// What is done when timers of campaigns come due.
pub(in crate::call_queue) fn handlers() -> Vec<HandlerRef> {
    vec![timer::handler(WindowTimer), timer::handler(StartTimer)]
}

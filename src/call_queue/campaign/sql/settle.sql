-- Settles the campaigns whose counters this transaction changed: an active one that has nothing open is complete. The slots
-- are locked.
--
-- $1 company
with
moment as materialized (
    select switchboard.now() as now
),
touched as materialized (
    select campaign.ctid as tid, moment.now
    from moment
    cross join lateral (
        select campaign.ctid
        from campaign
        where campaign.company_id = $1 and campaign.is_touched
        offset 0
    ) as campaign
)
update campaign
set version = campaign.version + 1, is_touched = false, updated_at = touched.now,
    status = case when campaign.status = 'ACTIVE' and campaign.queued = 0 and campaign.processing = 0 then 'COMPLETED'
        else campaign.status end
from touched
where campaign.ctid = touched.tid
returning
    campaign.company_id,
    campaign.id,
    campaign.user_id,
    campaign.agent_id,
    campaign.name,
    campaign.status as "status: CampaignStatus",
    campaign.first_call_time,
    campaign.last_call_time,
    campaign.time_zone,
    campaign.max_retries,
    campaign.retry_interval_minutes,
    campaign.weight,
    campaign.starts_at,
    campaign.is_window_open,
    campaign.window_turns_at,
    campaign.queued,
    campaign.processing,
    campaign.completed,
    campaign.failed,
    campaign.canceled,
    campaign.skipped,
    campaign.version,
    campaign.inserted_at,
    campaign.updated_at

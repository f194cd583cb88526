-- Campaigns, newest first. Takes no lock.
--
-- $1 company
-- $2 only of this user, or null
-- $3 only in these states, or null
-- $4 before this campaign, or null
-- $5 most campaigns
select
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
from campaign
where campaign.company_id = $1
    and ($2::text is null or campaign.user_id = $2)
    and ($3::text[] is null or campaign.status = any ($3))
    and ($4::uuid is null or campaign.id < $4)
order by campaign.id desc
limit $5

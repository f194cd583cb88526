-- One campaign. Takes no lock.
--
-- $1, $2 company, campaign
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
where campaign.company_id = $1 and campaign.id = $2

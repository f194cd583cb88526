-- What waits and runs in the queues of all companies: what waits as of their last samples, unless those are old. Takes no
-- lock.
with
moment as materialized (
    select switchboard.now() as now
)
select
    coalesce(sum(sample.direct), 0) as "direct!",
    coalesce(sum(sample.campaign), 0) as "campaign!",
    coalesce(sum(slots.active), 0) as "active!",
    coalesce(sum(coalesce(slots.system_limit, settings.system_calls)), 0) as "slots!"
from moment
cross join call_queue_settings as settings
cross join call_slots as slots
left join lateral (
    select sample.direct, sample.campaign
    from call_queue_sample as sample
    where sample.company_id = slots.company_id and sample.user_id = '' and sample.at > moment.now - interval '150 seconds'
    order by sample.at desc
    limit 1
) as sample on true

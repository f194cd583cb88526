-- Campaigns' calls of a user, of the last day, that were dispatched while a direct call of it waited and its campaigns had
-- not waited for long enough. Takes no lock.
--
-- $1, $2 company, user
with
moment as materialized (
    select switchboard.now() as now
)
select coalesce(sum(sample.violations), 0) as "violations!"
from call_queue_sample as sample
where sample.company_id = $1 and sample.user_id = $2 and sample.violations > 0
    and sample.at > (select moment.now - interval '1 day' from moment)

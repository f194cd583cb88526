-- Samples of a user or of the company, oldest first. Takes no lock.
--
-- $1 company
-- $2 user; empty: the company
-- $3 the last so many minutes
with
moment as materialized (
    select switchboard.now() as now
)
select sample.at, sample.direct, sample.campaign, sample.active, sample.dispatched, sample.wait_p50, sample.wait_p90
from call_queue_sample as sample
where sample.company_id = $1 and sample.user_id = $2
    and sample.at > (select moment.now - make_interval(mins => $3) from moment)
order by sample.at

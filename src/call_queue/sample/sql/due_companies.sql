-- Companies of which the last whole minute has no sample yet, although something waits, runs or was dispatched in it. A
-- minute is looked at two seconds after its end: what was dispatched in it is committed then. Takes no lock.
--
-- $1 most companies
with
moment as materialized (
    select date_trunc('minute', switchboard.now() - interval '2 seconds') as at
)
select slots.company_id, moment.at as "at!"
from moment
cross join call_slots as slots
where not exists (
        select 1
        from call_queue_sample as sample
        where sample.company_id = slots.company_id and sample.user_id = '' and sample.at = moment.at
    )
    and (slots.active > 0
        or exists (
            select 1
            from call_queue_user as owner
            where owner.company_id = slots.company_id and owner.queued > 0
        )
        or exists (
            select 1
            from call
            where call.company_id = slots.company_id and call.inserted_at >= moment.at - interval '1 minute'
                and call.inserted_at < moment.at
        ))
limit $1

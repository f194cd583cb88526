-- The first waiter that lives, and before it those that were given up: their time has passed. In the order of their
-- places. The line is locked.
--
-- $1 company
-- $2 line
-- $3 the place that was granted last
with
moment as materialized (
    select switchboard.now() as now
),
first_live as materialized (
    select (
        select request.place
        from operation_request as request
        where request.company_id = $1 and request.chat_id = $2 and request.place > $3 and request.wait_until > moment.now
        order by request.place
        limit 1
    ) as place
    from moment
)
select
    request.principal,
    request.request_id,
    request.call_type as "call_type: CallType",
    request.place as "place!",
    request.attempt as "attempt!",
    request.actor as "actor!",
    request.opposite as "opposite!: CallType",
    request.lease_ms as "lease_ms!",
    request.began_at as "began_at!",
    request.wait_until as "wait_until!"
from first_live
cross join lateral (
    select *
    from operation_request as request
    where request.company_id = $1 and request.chat_id = $2 and request.place > $3
        and request.place <= coalesce(first_live.place, 9223372036854775807)
    order by request.place
    offset 0
) as request

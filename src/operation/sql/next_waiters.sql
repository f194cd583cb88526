-- The first waiter that lives, and before it those that are given up: their time has passed, or their server is gone. In
-- the order of their places. The line is locked. A server that has never stamped is just starting.
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
            and not exists (
                select 1
                from service_alive as server
                where server.server_id = request.server_id and server.stamped_at <= moment.now - interval '5 seconds'
            )
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
    request.wait_until as "wait_until!",
    request.server_id as "server_id!",
    request.place is not distinct from first_live.place as "is_live!"
from first_live
cross join lateral (
    select *
    from operation_request as request
    where request.company_id = $1 and request.chat_id = $2 and request.place > $3
        and request.place <= coalesce(first_live.place, 9223372036854775807)
    order by request.place
    offset 0
) as request

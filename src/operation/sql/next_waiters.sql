-- The next waiters of some lines, in the order of their places: as many that live as are wanted, and with them those that
-- are given up, because their time has passed or their server is gone. A server that has never stamped is just starting.
-- Takes no lock.
--
-- $1     company
-- $2..$4 lines: line, the place that was granted last, how many living waiters are wanted
with
moment as materialized (
    select switchboard.now() as now
)
select
    asked.chat_id as "chat_id!",
    request.principal,
    request.request_id,
    request.call_type as "call_type: CallType",
    request.place as "place!",
    request.attempt as "attempt!",
    request.actor as "actor!",
    request.opposite as "opposite!: CallType",
    request.lease_ms as "lease_ms!",
    request.began_at as "began_at!",
    request.began_version as "began_version!",
    request.wait_until as "wait_until!",
    request.server_id as "server_id!",
    request.is_live as "is_live!"
from moment
cross join unnest($2::text[], $3::bigint[], $4::bigint[]) as asked (chat_id, after, wanted)
cross join lateral (
    select (
        select request.place
        from operation_request as request
        where request.company_id = $1 and request.chat_id = asked.chat_id and request.place > asked.after
            and request.wait_until > moment.now
            and not exists (
                select 1
                from service_alive as server
                where server.server_id = request.server_id and server.stamped_at <= moment.now - interval '5 seconds'
            )
        order by request.place
        offset asked.wanted - 1
        limit 1
    ) as place
) as last_wanted
cross join lateral (
    select
        request.*,
        request.wait_until > moment.now and not exists (
            select 1
            from service_alive as server
            where server.server_id = request.server_id and server.stamped_at <= moment.now - interval '5 seconds'
        ) as is_live
    from operation_request as request
    where request.company_id = $1 and request.chat_id = asked.chat_id and request.place > asked.after
        and request.place <= coalesce(last_wanted.place, 9223372036854775807)
    order by request.place
    offset 0
) as request

-- Writes a line, which is locked: deletes waiters of whom one was granted it and others were given up or left, and
-- remembers finished requests, so that a late repeat is refused.
--
--  $1, $2   company, line
--  $3..$9   version, last place, last granted, last token, waiting, start failed, end failed
-- $10..$17  holder: type, principal, request, attempt, granted, expiry, claim by, held for
-- $18       time
-- $19       places of waiters to delete
-- $20..$23  finished requests: principals, requests, types, remembered until
with
left_waiter as (
    -- Each by its place, so that the number of those that wait does not count.
    delete from operation_request
    where ctid = any (array(
        select request.ctid
        from unnest($19::bigint[]) as gone (place)
        cross join lateral (
            select request.ctid
            from operation_request as request
            where request.company_id = $1 and request.chat_id = $2 and request.place = gone.place
            offset 0
        ) as request
    ))
),
remembered as (
    insert into operation_request (company_id, chat_id, principal, request_id, call_type, forget_at)
    select $1, $2, finished.principal, finished.request_id, finished.call_type, finished.forget_at
    from unnest($20::text[], $21::text[], $22::text[], $23::timestamptz[])
        as finished (principal, request_id, call_type, forget_at)
    on conflict (company_id, chat_id, principal, request_id) do update
    set call_type = excluded.call_type, forget_at = excluded.forget_at, place = null, attempt = null, actor = null,
        opposite = null, lease_ms = null, began_at = null, began_version = null, wait_until = null, server_id = null
)
update operation_line
set version = $3, last_place = $4, last_granted = $5, last_token = $6, waiting = $7, start_failed = $8, end_failed = $9,
    call_type = $10, principal = $11, request_id = $12, attempt = $13, granted_at = $14, expires_at = $15,
    claim_by = $16, held_for_ms = $17, used_at = $18
where company_id = $1 and chat_id = $2

\set number random(1, 10000)
\set request random(1, 1000000000)
begin;
select chat_id from switchboard.operation_line
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text
for no key update;
with moment as materialized (select switchboard.now() as now)
select moment.now, line.*, request.call_type, request.place, request.attempt
from moment
cross join lateral (
    select * from switchboard.operation_line as line
    where line.company_id = 'COMPANY' and line.chat_id = 'bench-' || (:number)::text offset 0
) as line
left join lateral (
    select * from switchboard.operation_request as request
    where request.company_id = 'COMPANY' and request.chat_id = 'bench-' || (:number)::text
        and request.principal = 'load' and request.request_id = (:request)::text
    offset 0
) as request on true;
with left_waiter as (
    delete from switchboard.operation_request
    where ctid = any (array(
        select request.ctid
        from unnest('{}'::bigint[]) as gone (place)
        cross join lateral (
            select request.ctid from switchboard.operation_request as request
            where request.company_id = 'COMPANY' and request.chat_id = 'bench-' || (:number)::text
                and request.place = gone.place
            offset 0
        ) as request
    ))
),
remembered as (
    insert into switchboard.operation_request (company_id, chat_id, principal, request_id, call_type, forget_at)
    select 'COMPANY', 'bench-' || (:number)::text, 'load', (:request)::text, 'START_CHAT',
        clock_timestamp() + interval '10 min'
    where false
    on conflict (company_id, chat_id, principal, request_id) do nothing
)
update switchboard.operation_line
set last_token = last_token + 1, call_type = 'START_CHAT', principal = 'load', request_id = (:request)::text,
    attempt = gen_random_uuid(), granted_at = clock_timestamp(), expires_at = clock_timestamp() + interval '30 s', used_at = clock_timestamp()
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text;
commit;
begin;
select chat_id from switchboard.operation_line
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text
for no key update;
with moment as materialized (select switchboard.now() as now)
select moment.now, line.*, request.call_type, request.place, request.attempt
from moment
cross join lateral (
    select * from switchboard.operation_line as line
    where line.company_id = 'COMPANY' and line.chat_id = 'bench-' || (:number)::text offset 0
) as line
left join lateral (
    select * from switchboard.operation_request as request
    where request.company_id = 'COMPANY' and request.chat_id = 'bench-' || (:number)::text
        and request.principal = 'load' and request.request_id = (:request)::text
    offset 0
) as request on true;
with left_waiter as (
    delete from switchboard.operation_request
    where ctid = any (array(
        select request.ctid
        from unnest('{}'::bigint[]) as gone (place)
        cross join lateral (
            select request.ctid from switchboard.operation_request as request
            where request.company_id = 'COMPANY' and request.chat_id = 'bench-' || (:number)::text
                and request.place = gone.place
            offset 0
        ) as request
    ))
),
remembered as (
    insert into switchboard.operation_request (company_id, chat_id, principal, request_id, call_type, forget_at)
    select 'COMPANY', 'bench-' || (:number)::text, 'load', (:request)::text, 'START_CHAT',
        clock_timestamp() + interval '10 min'
    where true
    on conflict (company_id, chat_id, principal, request_id) do nothing
)
update switchboard.operation_line
set call_type = null, principal = null, request_id = null, attempt = null, granted_at = null, expires_at = null, used_at = clock_timestamp()
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text;
commit;

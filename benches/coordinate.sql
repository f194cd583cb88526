\set number random(1, 10000)
\set request random(1, 1000000000)
begin;
insert into switchboard.operation_line (company_id, chat_id)
values ('COMPANY', 'bench-' || (:number)::text)
on conflict (company_id, chat_id) do nothing;
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
update switchboard.operation_line
set last_token = last_token + 1, call_type = 'START_CHAT', principal = 'load', request_id = (:request)::text,
    attempt = gen_random_uuid(), granted_at = clock_timestamp(), expires_at = clock_timestamp() + interval '30 s',
    used_at = clock_timestamp()
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text;
commit;
begin;
select exists (
    select 1 from switchboard.operation_line where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text
);
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
insert into switchboard.operation_request (company_id, chat_id, principal, request_id, call_type, forget_at)
values ('COMPANY', 'bench-' || (:number)::text, 'load', (:request)::text, 'START_CHAT', clock_timestamp() + interval '10 min')
on conflict (company_id, chat_id, principal, request_id) do nothing;
update switchboard.operation_line
set call_type = null, principal = null, request_id = null, attempt = null, granted_at = null, expires_at = null,
    used_at = clock_timestamp()
where company_id = 'COMPANY' and chat_id = 'bench-' || (:number)::text;
commit;

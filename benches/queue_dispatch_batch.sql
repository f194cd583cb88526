\set number random(1, 4000000000000000)
begin;
select 1 from (select switchboard.call_slots_lock('00000000-0000-7000-8000-0000000000a3')) as locked;
select array(
    select call_id from switchboard.active_calls
    where company_id = '00000000-0000-7000-8000-0000000000a3'
    order by hashtextextended(call_id::text, :number) limit 64
)::text as ended \gset
select call.* from unnest((:ended)::text::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call
    where call.company_id = '00000000-0000-7000-8000-0000000000a3' and call.id = asked.id
    for no key update skip locked
) as call;
select switchboard.now();
update switchboard.call
set status = 'ENDED', end_reason = 'COMPLETED', told_reason = 'COMPLETED', told_at = clock_timestamp(),
    ended_at = clock_timestamp(), generation = 2, version = version + 1, updated_at = clock_timestamp()
where call.ctid = any (array(
    select found.tid from unnest((:ended)::text::uuid[]) as asked (id)
    cross join lateral (
        select call.ctid as tid from switchboard.call
        where call.company_id = '00000000-0000-7000-8000-0000000000a3' and call.id = asked.id offset 0
    ) as found
));
select count(*) from switchboard.call_release('00000000-0000-7000-8000-0000000000a3', (:ended)::text::uuid[],
    array_fill('COMPLETED'::text, array[64]), array_fill(false, array[64]),
    array(select gen_random_uuid() from generate_series(1, 64)));
select array(select id from switchboard.call_dispatch_rows('00000000-0000-7000-8000-0000000000a3', 500))::text
    as dispatched \gset
update switchboard.call_slots set armed_due = due_at, armed_lease = lease_at
where company_id = '00000000-0000-7000-8000-0000000000a3'
    and (armed_due is distinct from due_at or armed_lease is distinct from lease_at);
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a3', 'call', of.id::text, of.version, of.type, 'pgbench',
    json_build_object('text', repeat('x', 900)), array[switchboard.event_scope_key(
        '00000000-0000-7000-8000-0000000000a3', 'call', 'userId', 'u' || ((:number)::bigint % 500)::text)]
from (
    select unnest((:ended)::text::uuid[]) as id, 3 as version, 'CallEnded' as type
    union all
    select unnest((:dispatched)::text::uuid[]), 2, 'CallDispatched'
) as of;
commit;

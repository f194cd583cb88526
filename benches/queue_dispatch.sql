\set user random(0, 499)
\set number random(1, 4000000000000000)
begin;
select 1 from (select switchboard.call_slots_lock('00000000-0000-7000-8000-0000000000a3')) as locked;
select coalesce(
    (select call_id from switchboard.active_calls
     where company_id = '00000000-0000-7000-8000-0000000000a3' and call_id >= md5('item ' || (:number)::text)::uuid order by call_id limit 1),
    (select call_id from switchboard.active_calls where company_id = '00000000-0000-7000-8000-0000000000a3' order by call_id limit 1)) as active \gset
select id from switchboard.call where company_id = '00000000-0000-7000-8000-0000000000a3' and id = :active::uuid for no key update;
select switchboard.now();
select call.* from unnest(array[:active]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call where call.company_id = '00000000-0000-7000-8000-0000000000a3' and call.id = asked.id offset 0
) as call;
update switchboard.call
set status = 'ENDED', end_reason = 'COMPLETED', told_reason = 'COMPLETED', told_at = clock_timestamp(),
    ended_at = clock_timestamp(), generation = 2, version = version + 1, updated_at = clock_timestamp()
where company_id = '00000000-0000-7000-8000-0000000000a3' and id = :active::uuid;
select * from switchboard.call_release('00000000-0000-7000-8000-0000000000a3', array[:active::uuid], array['COMPLETED'], array[false], array[md5('again ' || (:number)::text)::uuid]);
select * from switchboard.call_dispatch('00000000-0000-7000-8000-0000000000a3', 500);
update switchboard.campaign set is_touched = false, version = version + 1 where company_id = '00000000-0000-7000-8000-0000000000a3' and is_touched;
update switchboard.call_slots set armed_due = due_at, armed_lease = lease_at
where company_id = '00000000-0000-7000-8000-0000000000a3' and (armed_due is distinct from due_at or armed_lease is distinct from lease_at)
returning due_at, lease_at;
select call.* from unnest(array[:active]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call where call.company_id = '00000000-0000-7000-8000-0000000000a3' and call.id = asked.id offset 0
) as call;
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a3', 'call', :active::uuid::text, 3, 'CallEnded', 'pgbench', json_build_object('text', repeat('x', 900)), array[
    switchboard.event_scope_key('00000000-0000-7000-8000-0000000000a3', 'call', 'userId', 'u' || (:user)::text)];
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a3', 'call', md5('call ' || (:number)::text)::uuid::text, 2, 'CallDispatched', 'pgbench', json_build_object('text', repeat('x', 900)), array[
    switchboard.event_scope_key('00000000-0000-7000-8000-0000000000a3', 'call', 'userId', 'u' || (:user)::text)];
commit;

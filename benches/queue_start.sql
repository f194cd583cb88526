\set user random(0, 499)
\set number random(1, 4000000000000000)
begin;
select 1 from (select switchboard.call_slots_lock('00000000-0000-7000-8000-0000000000a1')) as locked;
select initiated.reason
from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[], array[md5('item ' || (:number)::text)::uuid]::uuid[], array['u' || (:user)::text], array['agent'],
    array['+14155552671'], array[null::text], array[null::text], array[null::text])
    with ordinality as asked (call_id, queue_id, user_id, agent_id, phone_number, contact_id, contact_name, user_data, place)
cross join lateral switchboard.call_initiate('00000000-0000-7000-8000-0000000000a1', asked.call_id, asked.queue_id, asked.user_id, asked.agent_id,
    asked.phone_number, asked.contact_id, asked.contact_name, asked.user_data::jsonb) as initiated (reason)
order by asked.place;
select call.* from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call where call.company_id = '00000000-0000-7000-8000-0000000000a1' and call.id = asked.id offset 0
) as call;
select * from switchboard.call_dispatch('00000000-0000-7000-8000-0000000000a1', 500);
update switchboard.campaign set is_touched = false, version = version + 1 where company_id = '00000000-0000-7000-8000-0000000000a1' and is_touched;
update switchboard.call_slots set armed_due = due_at, armed_lease = lease_at
where company_id = '00000000-0000-7000-8000-0000000000a1' and (armed_due is distinct from due_at or armed_lease is distinct from lease_at)
returning due_at, lease_at;
select owner.*, slots.active from switchboard.call_slots as slots
left join switchboard.call_queue_user as owner on owner.company_id = '00000000-0000-7000-8000-0000000000a1' and owner.user_id = 'u' || (:user)::text
where slots.company_id = '00000000-0000-7000-8000-0000000000a1';
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a1', 'call', md5('call ' || (:number)::text)::uuid::text, 1, 'CallDispatched', 'pgbench', json_build_object('text', repeat('x', 900)), array[
    switchboard.event_scope_key('00000000-0000-7000-8000-0000000000a1', 'call', 'userId', 'u' || (:user)::text)];
commit;
begin;
select 1 from (select switchboard.call_slots_lock('00000000-0000-7000-8000-0000000000a1')) as locked;
select id from switchboard.call where company_id = '00000000-0000-7000-8000-0000000000a1' and id = md5('call ' || (:number)::text)::uuid for no key update;
select switchboard.now();
select call.* from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call where call.company_id = '00000000-0000-7000-8000-0000000000a1' and call.id = asked.id offset 0
) as call;
update switchboard.call
set status = 'ENDED', end_reason = 'COMPLETED', told_reason = 'COMPLETED', told_at = clock_timestamp(),
    ended_at = clock_timestamp(), generation = 2, version = version + 1, updated_at = clock_timestamp()
where company_id = '00000000-0000-7000-8000-0000000000a1' and id = md5('call ' || (:number)::text)::uuid;
select * from switchboard.call_release('00000000-0000-7000-8000-0000000000a1', array[md5('call ' || (:number)::text)::uuid], array['COMPLETED'], array[false], array[md5('again ' || (:number)::text)::uuid]);
select * from switchboard.call_dispatch('00000000-0000-7000-8000-0000000000a1', 500);
update switchboard.campaign set is_touched = false, version = version + 1 where company_id = '00000000-0000-7000-8000-0000000000a1' and is_touched;
update switchboard.call_slots set armed_due = due_at, armed_lease = lease_at
where company_id = '00000000-0000-7000-8000-0000000000a1' and (armed_due is distinct from due_at or armed_lease is distinct from lease_at)
returning due_at, lease_at;
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a1', 'call', md5('call ' || (:number)::text)::uuid::text, 2, 'CallEnded', 'pgbench', json_build_object('text', repeat('x', 900)), array[
    switchboard.event_scope_key('00000000-0000-7000-8000-0000000000a1', 'call', 'userId', 'u' || (:user)::text)];
commit;

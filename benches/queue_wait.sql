\set user random(0, 499)
\set number random(1, 4000000000000000)
begin;
select 1 from (select switchboard.call_slots_lock('00000000-0000-7000-8000-0000000000a2')) as locked;
select initiated.reason
from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[], array[md5('item ' || (:number)::text)::uuid]::uuid[], array['u' || (:user)::text], array['agent'],
    array['+14155552671'], array[null::text], array[null::text], array[null::text])
    with ordinality as asked (call_id, queue_id, user_id, agent_id, phone_number, contact_id, contact_name, user_data, place)
cross join lateral switchboard.call_initiate('00000000-0000-7000-8000-0000000000a2', asked.call_id, asked.queue_id, asked.user_id, asked.agent_id,
    asked.phone_number, asked.contact_id, asked.contact_name, asked.user_data::jsonb) as initiated (reason)
order by asked.place;
select item.*, line.canceled_at from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call_queue as item
    where item.company_id = '00000000-0000-7000-8000-0000000000a2' and item.call_id = asked.id and item.status in ('QUEUED', 'CANCELED') offset 0
) as item
cross join lateral (
    select * from switchboard.call_queue_line as line
    where line.company_id = '00000000-0000-7000-8000-0000000000a2' and line.id = item.line_id offset 0
) as line;
select * from switchboard.call_dispatch('00000000-0000-7000-8000-0000000000a2', 500);
update switchboard.campaign set is_touched = false, version = version + 1 where company_id = '00000000-0000-7000-8000-0000000000a2' and is_touched;
update switchboard.call_slots set armed_due = due_at, armed_lease = lease_at
where company_id = '00000000-0000-7000-8000-0000000000a2' and (armed_due is distinct from due_at or armed_lease is distinct from lease_at)
returning due_at, lease_at;
select item.*, line.canceled_at from unnest(array[md5('call ' || (:number)::text)::uuid]::uuid[]) as asked (id)
cross join lateral (
    select * from switchboard.call_queue as item
    where item.company_id = '00000000-0000-7000-8000-0000000000a2' and item.call_id = asked.id and item.status in ('QUEUED', 'CANCELED') offset 0
) as item
cross join lateral (
    select * from switchboard.call_queue_line as line
    where line.company_id = '00000000-0000-7000-8000-0000000000a2' and line.id = item.line_id offset 0
) as line;
select item.*, place.position, place.position_in_type, owner.held_ms, slots.users
from switchboard.call_queue_settings as settings
cross join lateral (
    select * from switchboard.call_queue as item where item.company_id = '00000000-0000-7000-8000-0000000000a2' and item.id = md5('item ' || (:number)::text)::uuid offset 0
) as item
cross join lateral (
    select * from switchboard.call_queue_user as owner
    where owner.company_id = '00000000-0000-7000-8000-0000000000a2' and owner.user_id = item.user_id offset 0
) as owner
cross join lateral (
    select * from switchboard.call_slots as slots where slots.company_id = '00000000-0000-7000-8000-0000000000a2' offset 0
) as slots
cross join lateral switchboard.call_queue_position('00000000-0000-7000-8000-0000000000a2', item.id, switchboard.now()) as place;
select owner.*, slots.active from switchboard.call_slots as slots
left join switchboard.call_queue_user as owner on owner.company_id = '00000000-0000-7000-8000-0000000000a2' and owner.user_id = 'u' || (:user)::text
where slots.company_id = '00000000-0000-7000-8000-0000000000a2';
insert into switchboard.event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '00000000-0000-7000-8000-0000000000a2', 'call', md5('call ' || (:number)::text)::uuid::text, 1, 'CallQueued', 'pgbench', json_build_object('text', repeat('x', 900)), array[
    switchboard.event_scope_key('00000000-0000-7000-8000-0000000000a2', 'call', 'userId', 'u' || (:user)::text)];
commit;

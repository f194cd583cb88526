-- One batch of createChat as the server writes it (src/chat/race/open/batch.rs), for pgbench: a lock on the contract,
-- :count races, a chat each, two timers and two events each. Needs the demo data (`switchboard seed`).
--   PGOPTIONS='-c search_path=switchboard,pg_temp -c plan_cache_mode=force_generic_plan' \
--       pgbench -n -M prepared -c 1 -t 1000 -D count=16 -f benches/create_chat.sql
\set base random(1, 1000000000000000)
begin;
select * from contract
where company_id = '5b000000-0000-7000-8000-000000000001' and id = any('{5b000000-0000-7000-8000-0000000000c1}'::uuid[])
order by id for key share;
insert into chat_race (company_id, key, website_id, owner, state, expires_at)
select '5b000000-0000-7000-8000-000000000001', md5(:base::text || n)::uuid, '5b000000-0000-7000-8000-000000000002',
    md5('visitor' || :base::text || n), 'WAITING', switchboard.now() + interval '5 min'
from generate_series(1, :count::int) as n
order by 2
on conflict (company_id, key) do nothing
returning *;
with moment as materialized (select switchboard.now() as now)
insert into chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, headline, customer_name,
    miss_at, inserted_at, updated_at, created_from)
select '5b000000-0000-7000-8000-000000000001',
    -- A version 7 id, as the server makes it: time first, so that neighbours in time are neighbours in the index.
    (lpad(to_hex((extract(epoch from moment.now) * 1000)::bigint), 12, '0') || '7'
        || substr(md5('chat' || :base::text || n), 1, 19))::uuid,
    md5(:base::text || n)::uuid, '5b000000-0000-7000-8000-000000000002', '5b000000-0000-7000-8000-0000000000c1',
    '5b000000-0000-7000-8000-0000000000a1', md5('visitor' || :base::text || n), 'ACTIVE', 'Hello?', 'Eve',
    moment.now + interval '30 s', moment.now, moment.now, '10.1.2.3'
from moment, generate_series(1, :count::int) as n
returning *;
insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
select '5b000000-0000-7000-8000-000000000001', subject.type, md5(subject.type || :base::text || n)::uuid::text,
    subject.purpose, switchboard.now() + interval '5 min', md5(:base::text || n)::uuid
from generate_series(1, :count::int) as n, (values ('chat', 'miss'), ('chat_race', 'expire')) as subject (type, purpose)
on conflict (company_id, subject_type, subject_id, purpose)
    do update set due_at = excluded.due_at, token = excluded.token, attempts = 0;
insert into event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
select '5b000000-0000-7000-8000-000000000001', subject.type, md5(subject.type || :base::text || n)::uuid::text, 1,
    subject.event, 'visitor', json_build_object('headline', 'Hello?', 'text', repeat('x', 600)),
    -- The keys of the fields that streams of chats are narrowed by; a race has none.
    case subject.type when 'chat' then array[
        event_scope_key('5b000000-0000-7000-8000-000000000001', 'chat', 'key', md5(:base::text || n)::uuid::text),
        event_scope_key('5b000000-0000-7000-8000-000000000001', 'chat', 'contractId', '5b000000-0000-7000-8000-0000000000c1'),
        event_scope_key('5b000000-0000-7000-8000-000000000001', 'chat', 'visitor', md5('visitor' || :base::text || n)),
        event_scope_key('5b000000-0000-7000-8000-000000000001', 'chat', 'agentId', '5b000000-0000-7000-8000-0000000000a1'),
        event_scope_key('5b000000-0000-7000-8000-000000000001', 'chat', 'createdFrom', '10.1.2.3')
    ] else '{}' end
from generate_series(1, :count::int) as n,
    (values ('chat', 'ChatOffered'), ('chat_race', 'RaceOpened')) as subject (type, event);
commit;

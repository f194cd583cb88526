-- Gives direct calls a slot or a place in line, in their order. The slots are locked.
--
--  $1      company
--  $2, $3  calls, their items where they have to wait
--  $4, $5  users, agents
--  $6..$9  phone numbers, contacts, their names, user data
-- Returns why each waits; null: it has a slot.
select initiated.reason
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    with ordinality as asked (call_id, queue_id, user_id, agent_id, phone_number, contact_id, contact_name, user_data, place)
cross join lateral call_initiate($1, asked.call_id, asked.queue_id, asked.user_id, asked.agent_id, asked.phone_number,
    asked.contact_id, asked.contact_name, asked.user_data::jsonb) as initiated (reason)
order by asked.place

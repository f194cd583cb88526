-- Messages that were written before under these ids. Takes no lock.
--
-- $1 company
-- $2 calls
-- $3 ids, one beside each call
select
    message.company_id,
    message.call_id,
    message.number,
    message.id,
    message.role,
    message.text,
    message.inserted_at
from unnest($2::uuid[], $3::uuid[]) as wanted (call_id, id)
cross join lateral (
    select *
    from call_message as message
    where message.company_id = $1 and message.call_id = wanted.call_id and message.id = wanted.id
    offset 0
) as message

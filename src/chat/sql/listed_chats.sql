-- The chats in a stream's snapshot: every unfinished one that passes the filter, and the newest finished ones up to a limit
-- in all. Oldest first. Takes no lock.
--
-- $1 company
-- $2 key, $3 contract, $4 status: the filter; null matches all
-- $5 visitor, $6 website, $7 agent: what the caller's rights narrow it to; null matches all
-- $8 limit: the finished chats fill the list up to it
with
unfinished as materialized (
    select chat.id, chat.version, chat.inserted_at
    from chat
    where chat.company_id = $1 and chat.status <> 'FINISHED'
        and ($2::uuid is null or chat.key = $2)
        and ($3::uuid is null or chat.contract_id = $3)
        and ($4::text is null or chat.status = $4)
        and ($5::text is null or chat.visitor = $5)
        and ($6::uuid is null or chat.website_id = $6)
        and ($7::uuid is null or chat.agent_id = $7)
),
finished as (
    select chat.id, chat.version, chat.inserted_at
    from chat
    where chat.company_id = $1 and chat.status = 'FINISHED'
        and ($2::uuid is null or chat.key = $2)
        and ($3::uuid is null or chat.contract_id = $3)
        and ($4::text is null or chat.status = $4)
        and ($5::text is null or chat.visitor = $5)
        and ($6::uuid is null or chat.website_id = $6)
        and ($7::uuid is null or chat.agent_id = $7)
    order by chat.inserted_at desc
    limit greatest($8 - (select count(*) from unfinished), 0)
)
select id as "id!", version as "version!"
from (select * from unfinished union all select * from finished) as listed
order by inserted_at, id

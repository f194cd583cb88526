-- Chats that messages are written into, with the database's time. Takes no lock.
--
-- $1 company
-- $2 ids
with
moment as materialized (
    select switchboard.now() as now
)
select
    moment.now as "now!",
    chat.company_id,
    chat.id,
    chat.website_id,
    chat.agent_id,
    chat.visitor,
    chat.status as "status: ChatStatus",
    chat.headline,
    chat.message_count,
    chat.version
from moment
cross join (select distinct unnest($2::uuid[]) as id) as wanted
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = wanted.id offset 0
) as chat

-- The holders of the lines of some chats, with the database's time. Lines without a live holder are left out. Takes no
-- lock. The lateral subquery with "offset 0" makes every plan look the rows up by their keys, see BATCH_SESSION.
--
-- $1 company
-- $2 lines
with
moment as materialized (
    select switchboard.now() as now
)
select
    line.chat_id,
    line.call_type as "call_type!: CallType",
    line.principal as "principal!",
    line.request_id as "request_id!",
    line.last_token as "token!"
from moment
cross join unnest($2::text[]) as asked (chat_id)
cross join lateral (
    select * from operation_line as line where line.company_id = $1 and line.chat_id = asked.chat_id offset 0
) as line
where line.expires_at > moment.now

-- A line that is locked, the database's time, the parties of the chat if it is one of ours, and one caller's request if
-- it waits or is remembered.
--
-- $1 company
-- $2 line
-- $3 the chat, if the line's id is a UUID
-- $4 the caller
-- $5 its request
with
moment as materialized (
    select switchboard.now() as now
)
select
    moment.now as "now!",
    line.version,
    line.last_place,
    line.last_granted,
    line.last_token,
    line.waiting,
    line.start_failed,
    line.end_failed,
    line.call_type as "call_type: CallType",
    line.principal,
    line.request_id,
    line.attempt,
    line.granted_at,
    line.expires_at,
    line.claim_by,
    line.held_for_ms,
    chat.website_id as "website_id?",
    chat.visitor as "visitor?",
    chat.agent_id as "agent_id?",
    request.call_type as "own_type?: CallType",
    request.place as "own_place?",
    request.attempt as "own_attempt?"
from moment
cross join lateral (
    select * from operation_line as line where line.company_id = $1 and line.chat_id = $2 offset 0
) as line
left join lateral (
    select chat.website_id, chat.visitor, chat.agent_id from chat where chat.company_id = $1 and chat.id = $3 offset 0
) as chat on true
left join lateral (
    select request.call_type, request.place, request.attempt
    from operation_request as request
    where request.company_id = $1 and request.chat_id = $2 and request.principal = $4 and request.request_id = $5
        and (request.forget_at is null or request.forget_at > moment.now)
    offset 0
) as request on true

-- For each call its line, what is known of its request, the parties and the race of its chat if the chat is one of ours;
-- with the database's time, all from one snapshot. Takes no lock. Lateral subqueries with "offset 0" make every plan look
-- the rows up by their keys, see BATCH_SESSION.
--
-- $1     company
-- $2..$5 calls: line, the chat if the line's id is a UUID, principal, request
--
-- One row for each call, in their order.
with
moment as materialized (
    select switchboard.now() as now
)
select
    moment.now as "now!",
    asked.number as "number!",
    line.revision as "revision?",
    line.used_at as "used_at?",
    line.version as "version?",
    line.last_place as "last_place?",
    line.last_granted as "last_granted?",
    line.last_token as "last_token?",
    line.waiting as "waiting?",
    line.start_failed as "start_failed?",
    line.end_failed as "end_failed?",
    line.call_type as "call_type?: CallType",
    line.principal as "principal?",
    line.request_id as "request_id?",
    line.attempt as "attempt?",
    line.granted_at as "granted_at?",
    line.expires_at as "expires_at?",
    line.claim_by as "claim_by?",
    line.held_for_ms as "held_for_ms?",
    chat.website_id as "website_id?",
    chat.visitor as "visitor?",
    chat.agent_id as "agent_id?",
    chat.key as "race_key?",
    race.revision as "race_revision?",
    request.call_type as "own_type?: CallType",
    request.place as "own_place?",
    request.attempt as "own_attempt?",
    request.actor as "own_actor?",
    request.opposite as "own_opposite?: CallType",
    request.lease_ms as "own_lease_ms?",
    request.began_at as "own_began_at?",
    request.began_version as "own_began_version?",
    request.wait_until as "own_wait_until?",
    request.server_id as "own_server_id?",
    request.completed_by as "own_completed_by?",
    request.forget_at as "own_forget_at?"
from moment
cross join unnest($2::text[], $3::uuid[], $4::text[], $5::text[]) with ordinality
    as asked (chat_id, id, principal, request_id, number)
left join lateral (
    select * from operation_line as line where line.company_id = $1 and line.chat_id = asked.chat_id offset 0
) as line on true
left join lateral (
    select chat.website_id, chat.visitor, chat.agent_id, chat.key
    from chat
    where chat.company_id = $1 and chat.id = asked.id
    offset 0
) as chat on true
left join lateral (
    select race.revision from chat_race as race where race.company_id = $1 and race.key = chat.key offset 0
) as race on true
left join lateral (
    select *
    from operation_request as request
    where request.company_id = $1 and request.chat_id = asked.chat_id and request.principal = asked.principal
        and request.request_id = asked.request_id
        and (request.forget_at is null or request.forget_at > moment.now)
    offset 0
) as request on true
order by asked.number

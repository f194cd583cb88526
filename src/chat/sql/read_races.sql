-- Races and their chats, with the database's time, all from one snapshot. Takes no lock.
--
-- $1 company
-- $2 keys of races
-- $3 chats whose races are wanted too
-- Lateral subqueries with "offset 0" make every plan look the rows up by their keys, see BATCH_SESSION.
-- The chats of a race have no unique key, and on an empty table every index of the company looks as good. Only one gives the
-- order of key and contract, so that is read, whenever the plan was made. ("=" would make the order by key void.)
-- One row for each chat; a race without chats has one row, and so has the answer if there are no races.
with
moment as materialized (
    select switchboard.now() as now, service.resumed_at, service.grace_until from service where service.only_row
),
wanted as materialized (
    select unnest($2::uuid[]) as key
    union
    select chat.key
    from unnest($3::uuid[]) as asked (id)
    cross join lateral (
        select chat.key from chat where chat.company_id = $1 and chat.id = asked.id offset 0
    ) as chat
)
select
    moment.now as "now!",
    moment.resumed_at as "resumed_at?",
    moment.grace_until as "grace_until?",
    race.key as "race_key?",
    race.website_id as "race_website_id?",
    race.owner as "race_owner?",
    race.state as "race_state?: RaceState",
    race.winner_id as "race_winner_id?",
    race.failures as "race_failures?: Json<Vec<Failure>>",
    race.reoffers as "race_reoffers?",
    race.expires_at as "race_expires_at?",
    race.version as "race_version?",
    race.revision as "race_revision?",
    race.coordinated as "race_coordinated?",
    race.inserted_at as "race_inserted_at?",
    race.updated_at as "race_updated_at?",
    -- Needed only of a chat that is held: whether its agent vanished in silence. Not "exists", which the planner may turn
    -- into a hash of all messages of the company.
    case when chat.status = 'STARTED' then (
        select true
        from chat_message as message
        where message.company_id = $1 and message.chat_id = chat.id and message.is_agent
        limit 1
    ) end as "agent_wrote?",
    chat.id as "id?",
    chat.contract_id as "contract_id?",
    chat.agent_id as "agent_id?",
    chat.visitor as "visitor?",
    chat.status as "status?: ChatStatus",
    chat.missed as "missed?",
    chat.close_reason as "close_reason?: CloseReason",
    chat.headline as "headline?",
    chat.customer_name as "customer_name?",
    chat.ip_address as "ip_address?",
    chat.created_from as "created_from?",
    chat.rating as "rating?",
    chat.miss_at as "miss_at?",
    chat.message_count as "message_count?",
    chat.version as "version?",
    chat.inserted_at as "inserted_at?",
    chat.updated_at as "updated_at?",
    chat.started_at as "started_at?",
    chat.finished_at as "finished_at?"
from moment
left join (
    wanted
    cross join lateral (
        select * from chat_race as race where race.company_id = $1 and race.key = wanted.key offset 0
    ) as race
    left join lateral (
        select *
        from chat
        where chat.company_id = $1 and chat.key between race.key and race.key
        order by chat.key, chat.contract_id
        offset 0
    ) as chat on true
) on true

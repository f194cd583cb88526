-- Writes decided races that exist, each whole or not at all: its row, its chats, an opening message, timers and events.
--
-- A race is written only if every premise of its decision holds when this statement has locked it:
--   * its row is at the revision that was read;
--   * the contracts that its decision rests on are at the versions that were read;
--   * none of its changed chats got a message since.
-- A row that another transaction has locked is a premise that fails (skip locked). So this waits for nobody. Locks:
-- contracts, races, chats, each ascending.
--
-- The decision was made outside; nothing is decided here on what this statement's snapshot shows of a locked row. Rows
-- are changed by the ctid under which they were locked: if the premises hold, nobody has moved them since the snapshot.
--
--  $1       company
--  $2..$9   races: key, base revision, state, winner, failures, expiry, version, updated
-- $10..$12  premises: key, contract, version
-- $13..$30  new chats: id, key, website, contract, agent, visitor, status, close reason, headline, customer name,
--           ip address, created from, miss time, version, inserted, updated, started, finished
-- $31..$45  changed chats: id, key, number of messages read, agent, status, missed, close reason, headline, customer name,
--           rating, miss time, version, updated, started, finished
-- $46..$51  opening messages: key, chat, id, text, author, time
-- $52..$55  timers to clear: key, subject type, subject id, purpose
-- $56..$61  timers to set: key, subject type, subject id, purpose, due time, token
-- $62..$69  events: key, subject type, subject id, version, event type, actor, payload, previous
--
-- Returns the keys of the races that were written.
with
race as (
    select *
    from unnest($2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::jsonb[], $7::timestamptz[], $8::int[],
        $9::timestamptz[])
        as race (key, base_revision, state, winner_id, failures, expires_at, version, updated_at)
),
premise as (
    select * from unnest($10::uuid[], $11::uuid[], $12::int[]) as premise (key, contract_id, version)
),
changed_chat as (
    select *
    from unnest($31::uuid[], $32::uuid[], $33::int[], $34::uuid[], $35::text[], $36::boolean[], $37::text[],
        $38::text[], $39::text[], $40::int[], $41::timestamptz[], $42::int[], $43::timestamptz[], $44::timestamptz[],
        $45::timestamptz[])
        as changed (id, key, messages_read, agent_id, status, missed, close_reason, headline, customer_name, rating,
            miss_at, version, updated_at, started_at, finished_at)
),
held_contract as materialized (
    select contract.id, contract.version
    from (select distinct contract_id as id from premise order by id) as wanted
    cross join lateral (
        select contract.id, contract.version
        from contract
        where contract.company_id = $1 and contract.id = wanted.id
        for key share skip locked
    ) as contract
),
-- Races whose contracts are as they were read.
sound as (
    select race.key, race.base_revision
    from race
    where not exists (
        select 1
        from premise
        left join held_contract as held on held.id = premise.contract_id and held.version = premise.version
        where premise.key = race.key and held.id is null
    )
),
held_race as materialized (
    select race.key, race.tid
    from (select key, base_revision from sound order by key) as sound
    cross join lateral (
        select chat_race.key, chat_race.ctid as tid
        from chat_race
        where chat_race.company_id = $1 and chat_race.key = sound.key and chat_race.revision = sound.base_revision
        for no key update skip locked
    ) as race
),
held_chat as materialized (
    select changed.key, chat.id, chat.tid
    from (
        select changed.key, changed.id, changed.messages_read
        from held_race
        join changed_chat as changed on changed.key = held_race.key
        order by changed.id
    ) as changed
    cross join lateral (
        select chat.id, chat.ctid as tid
        from chat
        where chat.company_id = $1 and chat.id = changed.id and chat.message_count = changed.messages_read
        for no key update skip locked
    ) as chat
),
-- Races all of whose premises hold.
written as materialized (
    select held_race.key
    from held_race
    where not exists (
        select 1
        from changed_chat as changed
        left join held_chat as held on held.id = changed.id
        where changed.key = held_race.key and held.id is null
    )
),
updated_race as (
    update chat_race
    set state = race.state, winner_id = race.winner_id, failures = race.failures, expires_at = race.expires_at,
        version = race.version, revision = race.base_revision + 1, updated_at = race.updated_at
    from held_race
    join written on written.key = held_race.key
    join race on race.key = held_race.key
    where chat_race.ctid = held_race.tid
),
inserted_chat as (
    insert into chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, close_reason, headline,
        customer_name, ip_address, created_from, miss_at, version, inserted_at, updated_at, started_at, finished_at)
    select $1, new.id, new.key, new.website_id, new.contract_id, new.agent_id, new.visitor, new.status,
        new.close_reason, new.headline, new.customer_name, new.ip_address, new.created_from, new.miss_at, new.version,
        new.inserted_at, new.updated_at, new.started_at, new.finished_at
    from unnest($13::uuid[], $14::uuid[], $15::uuid[], $16::uuid[], $17::uuid[], $18::text[], $19::text[], $20::text[],
        $21::text[], $22::text[], $23::inet[], $24::inet[], $25::timestamptz[], $26::int[], $27::timestamptz[],
        $28::timestamptz[], $29::timestamptz[], $30::timestamptz[])
        as new (id, key, website_id, contract_id, agent_id, visitor, status, close_reason, headline, customer_name,
            ip_address, created_from, miss_at, version, inserted_at, updated_at, started_at, finished_at)
    join written on written.key = new.key
),
opening as (
    select opening.*
    from unnest($46::uuid[], $47::uuid[], $48::uuid[], $49::text[], $50::text[], $51::timestamptz[])
        as opening (key, chat_id, id, text, author, at)
    join written on written.key = opening.key
),
updated_chat as (
    update chat
    set agent_id = changed.agent_id, status = changed.status, missed = changed.missed,
        close_reason = changed.close_reason, headline = changed.headline, customer_name = changed.customer_name,
        rating = changed.rating, miss_at = changed.miss_at, version = changed.version,
        updated_at = changed.updated_at, started_at = changed.started_at, finished_at = changed.finished_at,
        message_count = changed.messages_read + (opening.chat_id is not null)::int
    from held_chat
    join written on written.key = held_chat.key
    join changed_chat as changed on changed.id = held_chat.id
    left join opening on opening.chat_id = changed.id
    where chat.ctid = held_chat.tid
),
-- A second opening message of a chat is refused by a unique index.
inserted_message as (
    insert into chat_message (company_id, chat_id, id, number, text, author, is_agent, opening, inserted_at, updated_at)
    select $1, chat_id, id, 1, text, author, false, true, at, at from opening
),
-- A timer that the scheduler is just putting off may be missed; it fires later and finds nothing to do.
found_timer as materialized (
    select timer.tid
    from unnest($52::uuid[], $53::text[], $54::text[], $55::text[]) as cleared (key, subject_type, subject_id, purpose)
    join written on written.key = cleared.key
    cross join lateral (
        select timer.ctid as tid
        from timer
        where timer.company_id = $1 and timer.subject_type = cleared.subject_type
            and timer.subject_id = cleared.subject_id and timer.purpose = cleared.purpose
        offset 0
    ) as timer
),
cleared_timer as (
    delete from timer using found_timer where timer.ctid = found_timer.tid
),
set_timer as (
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    select $1, set.subject_type, set.subject_id, set.purpose, set.due_at, set.token
    from unnest($56::uuid[], $57::text[], $58::text[], $59::text[], $60::timestamptz[], $61::uuid[])
        as set (key, subject_type, subject_id, purpose, due_at, token)
    join written on written.key = set.key
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
),
appended_event as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.previous::json
    from unnest($62::uuid[], $63::text[], $64::text[], $65::int[], $66::text[], $67::text[], $68::text[], $69::text[])
        as new (key, subject_type, subject_id, version, type, actor, payload, previous)
    join written on written.key = new.key
)
select key as "key!" from written

-- Writes decided races, each whole or not at all: its row, its chats, an opening message, timers and events.
--
-- A race is written only if every premise of its decision holds when this statement has locked it:
--   * its key is free (base_revision is null), or its row is at the revision that was read;
--   * the contracts that its decision rests on are at the versions that were read;
--   * none of its changed chats got a message since.
-- A row that another transaction has locked is a premise that fails (skip locked). So this waits for nobody, but for a
-- transaction that is inserting a race of the same key. Locks: contracts, races, chats, each ascending.
--
-- The decision was made outside; nothing is decided here on what this statement's snapshot shows of a locked row. Rows
-- are changed by the ctid under which they were locked: if the premises hold, nobody has moved them since the snapshot.
--
--  $1       company
--  $2..$13  races: key, base revision, website, owner, state, winner, failures, reoffers, expiry, version, inserted, updated
-- $14..$16  premises: key, contract, version
-- $17..$34  new chats: id, key, website, contract, agent, visitor, status, close reason, headline, customer name,
--           ip address, created from, miss time, version, inserted, updated, started, finished
-- $35..$49  changed chats: id, key, number of messages read, agent, status, missed, close reason, headline, customer name,
--           rating, miss time, version, updated, started, finished
-- $50..$55  opening messages: key, chat, id, text, author, time
-- $56..$59  timers to clear: key, subject type, subject id, purpose
-- $60..$65  timers to set: key, subject type, subject id, purpose, due time, token
-- $66..$74  events: key, subject type, subject id, version, event type, actor, payload, previous, scope keys
--
-- Returns the keys of the races that were written.
with
race as (
    select *
    from unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::jsonb[], $9::boolean[],
        $10::timestamptz[], $11::int[], $12::timestamptz[], $13::timestamptz[])
        as race (key, base_revision, website_id, owner, state, winner_id, failures, reoffers, expires_at, version,
            inserted_at, updated_at)
),
premise as (
    select * from unnest($14::uuid[], $15::uuid[], $16::int[]) as premise (key, contract_id, version)
),
changed_chat as (
    select *
    from unnest($35::uuid[], $36::uuid[], $37::int[], $38::uuid[], $39::text[], $40::boolean[], $41::text[],
        $42::text[], $43::text[], $44::int[], $45::timestamptz[], $46::int[], $47::timestamptz[], $48::timestamptz[],
        $49::timestamptz[])
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
sound as materialized (
    select race.key, race.base_revision
    from race
    where not exists (
        select 1
        from premise
        left join held_contract as held on held.id = premise.contract_id and held.version = premise.version
        where premise.key = race.key and held.id is null
    )
),
inserted_race as (
    insert into chat_race (company_id, key, website_id, owner, state, winner_id, failures, reoffers, expires_at,
        version, inserted_at, updated_at)
    select $1, race.key, race.website_id, race.owner, race.state, race.winner_id, race.failures, race.reoffers,
        race.expires_at, race.version, race.inserted_at, race.updated_at
    from race
    join sound on sound.key = race.key
    where race.base_revision is null
    order by race.key
    on conflict (company_id, key) do nothing
    returning key
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
    select chat.key, chat.id, chat.tid
    from (
        select changed.id, changed.messages_read
        from held_race
        join changed_chat as changed on changed.key = held_race.key
        order by changed.id
    ) as changed
    cross join lateral (
        select chat.key, chat.id, chat.ctid as tid
        from chat
        where chat.company_id = $1 and chat.id = changed.id and chat.message_count = changed.messages_read
        for no key update skip locked
    ) as chat
),
-- Races all of whose premises hold.
written as materialized (
    select key from inserted_race
    union all
    select held_race.key
    from held_race
    where (select count(*) from changed_chat as changed where changed.key = held_race.key)
        = (select count(*) from held_chat where held_chat.key = held_race.key)
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
    from unnest($17::uuid[], $18::uuid[], $19::uuid[], $20::uuid[], $21::uuid[], $22::text[], $23::text[], $24::text[],
        $25::text[], $26::text[], $27::inet[], $28::inet[], $29::timestamptz[], $30::int[], $31::timestamptz[],
        $32::timestamptz[], $33::timestamptz[], $34::timestamptz[])
        as new (id, key, website_id, contract_id, agent_id, visitor, status, close_reason, headline, customer_name,
            ip_address, created_from, miss_at, version, inserted_at, updated_at, started_at, finished_at)
    join written on written.key = new.key
),
opening as (
    select opening.*
    from unnest($50::uuid[], $51::uuid[], $52::uuid[], $53::text[], $54::text[], $55::timestamptz[])
        as opening (key, chat_id, id, text, author, at)
    join written on written.key = opening.key
),
updated_chat as (
    update chat
    set agent_id = changed.agent_id, status = changed.status, missed = changed.missed,
        close_reason = changed.close_reason, headline = changed.headline, customer_name = changed.customer_name,
        rating = changed.rating, miss_at = changed.miss_at, version = changed.version,
        updated_at = changed.updated_at, started_at = changed.started_at, finished_at = changed.finished_at,
        message_count = changed.messages_read
            + (select count(*)::int from opening where opening.chat_id = changed.id)
    from held_chat
    join written on written.key = held_chat.key
    join changed_chat as changed on changed.id = held_chat.id
    where chat.ctid = held_chat.tid
),
-- A second opening message of a chat is refused by a unique index.
inserted_message as (
    insert into chat_message (company_id, chat_id, id, text, author, is_agent, opening, inserted_at, updated_at)
    select $1, chat_id, id, text, author, false, true, at, at from opening
),
-- A timer that the scheduler is just putting off may be missed; it fires later and finds nothing to do.
found_timer as materialized (
    select timer.tid
    from unnest($56::uuid[], $57::text[], $58::text[], $59::text[]) as cleared (key, subject_type, subject_id, purpose)
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
    from unnest($60::uuid[], $61::text[], $62::text[], $63::text[], $64::timestamptz[], $65::uuid[])
        as set (key, subject_type, subject_id, purpose, due_at, token)
    join written on written.key = set.key
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
),
appended_event as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.previous::json, new.scopes::bigint[]
    from unnest($66::uuid[], $67::text[], $68::text[], $69::int[], $70::text[], $71::text[], $72::text[], $73::text[],
        $74::text[])
        as new (key, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    join written on written.key = new.key
)
select key as "key!" from written

-- Inserts decided races that are new, each whole or not at all: its row, its chats, timers and events.
--
-- A race is inserted only if every premise of its decision holds when this statement has locked it:
--   * its key is free;
--   * the contracts that its decision rests on are at the versions that were read.
-- A contract that another transaction has locked is a premise that fails (skip locked). So this waits for nobody, but for a
-- transaction that is inserting a race of the same key. Locks: contracts, ascending; races are inserted ascending.
--
-- The decision was made outside; nothing is decided here on what this statement's snapshot shows of a locked row.
--
--  $1       company
--  $2..$12  races: key, website, owner, state, winner, failures, reoffers, expiry, version, inserted, updated
-- $13..$15  premises: key, contract, version
-- $16..$33  chats: id, key, website, contract, agent, visitor, status, close reason, headline, customer name,
--           ip address, created from, miss time, version, inserted, updated, started, finished
-- $34..$39  timers to set: key, subject type, subject id, purpose, due time, token
-- $40..$48  events: key, subject type, subject id, version, event type, actor, payload, previous, scope keys
--
-- Returns the keys of the races that were inserted.
with
race as (
    select *
    from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::jsonb[], $8::boolean[],
        $9::timestamptz[], $10::int[], $11::timestamptz[], $12::timestamptz[])
        as race (key, website_id, owner, state, winner_id, failures, reoffers, expires_at, version, inserted_at,
            updated_at)
),
premise as (
    select * from unnest($13::uuid[], $14::uuid[], $15::int[]) as premise (key, contract_id, version)
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
    select race.*
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
    select $1, sound.key, sound.website_id, sound.owner, sound.state, sound.winner_id, sound.failures, sound.reoffers,
        sound.expires_at, sound.version, sound.inserted_at, sound.updated_at
    from sound
    order by sound.key
    on conflict (company_id, key) do nothing
    returning key
),
inserted_chat as (
    insert into chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, close_reason, headline,
        customer_name, ip_address, created_from, miss_at, version, inserted_at, updated_at, started_at, finished_at)
    select $1, new.id, new.key, new.website_id, new.contract_id, new.agent_id, new.visitor, new.status,
        new.close_reason, new.headline, new.customer_name, new.ip_address, new.created_from, new.miss_at, new.version,
        new.inserted_at, new.updated_at, new.started_at, new.finished_at
    from unnest($16::uuid[], $17::uuid[], $18::uuid[], $19::uuid[], $20::uuid[], $21::text[], $22::text[], $23::text[],
        $24::text[], $25::text[], $26::inet[], $27::inet[], $28::timestamptz[], $29::int[], $30::timestamptz[],
        $31::timestamptz[], $32::timestamptz[], $33::timestamptz[])
        as new (id, key, website_id, contract_id, agent_id, visitor, status, close_reason, headline, customer_name,
            ip_address, created_from, miss_at, version, inserted_at, updated_at, started_at, finished_at)
    join inserted_race as written on written.key = new.key
),
set_timer as (
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    select $1, set.subject_type, set.subject_id, set.purpose, set.due_at, set.token
    from unnest($34::uuid[], $35::text[], $36::text[], $37::text[], $38::timestamptz[], $39::uuid[])
        as set (key, subject_type, subject_id, purpose, due_at, token)
    join inserted_race as written on written.key = set.key
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
),
appended_event as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.previous::json, new.scopes::bigint[]
    from unnest($40::uuid[], $41::text[], $42::text[], $43::int[], $44::text[], $45::text[], $46::text[], $47::text[],
        $48::text[])
        as new (key, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    join inserted_race as written on written.key = new.key
)
select key as "key!" from inserted_race

-- Writes decided lines, each whole or not at all: its row, its requests, the mark of its race, timers and events.
--
-- A line is written only if every premise of its decision holds when this statement has locked it:
--   * its row is at the revision that was read, or its key is free if it is new;
--   * the race of its chat, if the chat is one of ours, is at the revision that was read.
-- A row that another transaction has locked is a premise that fails (skip locked). So this waits for nobody, but for a
-- transaction that is inserting the same line. Locks: races, lines, each ascending; lines are inserted ascending.
--
-- The decision was made outside; nothing is decided here on what this statement's snapshot shows of a locked row. Rows
-- are changed by the ctid under which they were locked: if the premises hold, nobody has moved them since the snapshot.
-- Waiters are written only together with their line, so its revision stands for them too.
--
-- The first grant of a race's lines marks the race: from then on decisions on its chats read their lines. Each grant
-- raises the race's revision, so that a decision that was made without locks before the grant is not written.
--
--  $1       company
--  $2..$20  lines: line, base revision, revision, version, last place, last granted, last token, waiting, start failed,
--           end failed; holder: type, principal, request, attempt, granted, expiry, claim by, held for; used
-- $21..$24  races: line, key, base revision, whether the line was granted
-- $25..$27  requests to delete: line, principal, request
-- $28..$42  requests to write: line, principal, request, type, place, attempt, actor, opposite, lease, began, version of
--           its first event, waits until, server, completed by, remembered until
-- $43..$46  timers to clear: line, subject type, subject id, purpose
-- $47..$52  timers to set: line, subject type, subject id, purpose, due time, token
-- $53..$61  events: line, subject type, subject id, version, event type, actor, payload, previous, scope keys
--
-- Returns the lines that were written.
with
decided as (
    select *
    from unnest($2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[],
        $10::boolean[], $11::boolean[], $12::text[], $13::text[], $14::text[], $15::uuid[], $16::timestamptz[],
        $17::timestamptz[], $18::timestamptz[], $19::int[], $20::timestamptz[])
        as decided (chat_id, base_revision, revision, version, last_place, last_granted, last_token, waiting,
            start_failed, end_failed, call_type, principal, request_id, attempt, granted_at, expires_at, claim_by,
            held_for_ms, used_at)
),
race as (
    select *
    from unnest($21::text[], $22::uuid[], $23::bigint[], $24::boolean[])
        as race (chat_id, key, base_revision, is_granted)
),
held_race as materialized (
    select race.key, race.tid
    from (select distinct key, base_revision from race order by key) as wanted
    cross join lateral (
        select chat_race.key, chat_race.ctid as tid
        from chat_race
        where chat_race.company_id = $1 and chat_race.key = wanted.key and chat_race.revision = wanted.base_revision
        for no key update skip locked
    ) as race
),
-- Lines whose races are as they were read.
sound as materialized (
    select decided.*
    from decided
    where not exists (
        select 1
        from race
        left join held_race as held on held.key = race.key
        where race.chat_id = decided.chat_id and held.key is null
    )
),
held_line as materialized (
    select line.chat_id, line.tid
    from (select chat_id, base_revision from sound where base_revision is not null order by chat_id) as sound
    cross join lateral (
        select line.chat_id, line.ctid as tid
        from operation_line as line
        where line.company_id = $1 and line.chat_id = sound.chat_id and line.revision = sound.base_revision
        for no key update skip locked
    ) as line
),
inserted_line as (
    insert into operation_line (company_id, chat_id, revision, version, last_place, last_granted, last_token, waiting,
        start_failed, end_failed, call_type, principal, request_id, attempt, granted_at, expires_at, claim_by,
        held_for_ms, used_at)
    select $1, chat_id, revision, version, last_place, last_granted, last_token, waiting, start_failed, end_failed,
        call_type, principal, request_id, attempt, granted_at, expires_at, claim_by, held_for_ms, used_at
    from sound
    where base_revision is null
    order by chat_id
    on conflict (company_id, chat_id) do nothing
    returning chat_id
),
updated_line as (
    update operation_line
    set revision = sound.revision, version = sound.version, last_place = sound.last_place,
        last_granted = sound.last_granted, last_token = sound.last_token, waiting = sound.waiting,
        start_failed = sound.start_failed, end_failed = sound.end_failed, call_type = sound.call_type,
        principal = sound.principal, request_id = sound.request_id, attempt = sound.attempt,
        granted_at = sound.granted_at, expires_at = sound.expires_at, claim_by = sound.claim_by,
        held_for_ms = sound.held_for_ms, used_at = sound.used_at
    from held_line
    join sound on sound.chat_id = held_line.chat_id
    where operation_line.ctid = held_line.tid
),
-- Lines all of whose premises hold.
written as materialized (
    select chat_id from held_line
    union all
    select chat_id from inserted_line
),
marked_race as (
    update chat_race
    set coordinated = true, revision = granted.base_revision + 1
    from (
        select distinct held_race.tid, race.base_revision
        from race
        join written on written.chat_id = race.chat_id
        join held_race on held_race.key = race.key
        where race.is_granted
    ) as granted
    where chat_race.ctid = granted.tid
),
deleted_request as (
    delete from operation_request
    where ctid = any (array(
        select request.ctid
        from unnest($25::text[], $26::text[], $27::text[]) as gone (chat_id, principal, request_id)
        join written on written.chat_id = gone.chat_id
        cross join lateral (
            select request.ctid
            from operation_request as request
            where request.company_id = $1 and request.chat_id = gone.chat_id and request.principal = gone.principal
                and request.request_id = gone.request_id
            offset 0
        ) as request
    ))
),
-- A finished request of the same name that may be forgotten is replaced.
written_request as (
    insert into operation_request (company_id, chat_id, principal, request_id, call_type, place, attempt, actor,
        opposite, lease_ms, began_at, began_version, wait_until, server_id, completed_by, forget_at)
    select $1, request.chat_id, request.principal, request.request_id, request.call_type, request.place,
        request.attempt, request.actor, request.opposite, request.lease_ms, request.began_at, request.began_version,
        request.wait_until, request.server_id, request.completed_by, request.forget_at
    from unnest($28::text[], $29::text[], $30::text[], $31::text[], $32::bigint[], $33::uuid[], $34::text[],
        $35::text[], $36::int[], $37::timestamptz[], $38::int[], $39::timestamptz[], $40::uuid[], $41::uuid[],
        $42::timestamptz[])
        as request (chat_id, principal, request_id, call_type, place, attempt, actor, opposite, lease_ms, began_at,
            began_version, wait_until, server_id, completed_by, forget_at)
    join written on written.chat_id = request.chat_id
    on conflict (company_id, chat_id, principal, request_id) do update
    set call_type = excluded.call_type, place = excluded.place, attempt = excluded.attempt, actor = excluded.actor,
        opposite = excluded.opposite, lease_ms = excluded.lease_ms, began_at = excluded.began_at,
        began_version = excluded.began_version, wait_until = excluded.wait_until, server_id = excluded.server_id,
        completed_by = excluded.completed_by, forget_at = excluded.forget_at
),
-- A timer that the scheduler is just putting off may be missed; it fires later and finds nothing to do.
found_timer as materialized (
    select timer.tid
    from unnest($43::text[], $44::text[], $45::text[], $46::text[])
        as cleared (chat_id, subject_type, subject_id, purpose)
    join written on written.chat_id = cleared.chat_id
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
    from unnest($47::text[], $48::text[], $49::text[], $50::text[], $51::timestamptz[], $52::uuid[])
        as set (chat_id, subject_type, subject_id, purpose, due_at, token)
    join written on written.chat_id = set.chat_id
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
),
appended_event as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.previous::json, new.scopes::bigint[]
    from unnest($53::text[], $54::text[], $55::text[], $56::int[], $57::text[], $58::text[], $59::text[], $60::text[],
        $61::text[])
        as new (chat_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
    join written on written.chat_id = new.chat_id
)
select chat_id as "chat_id!" from written

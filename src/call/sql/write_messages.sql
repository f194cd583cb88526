-- Adds messages to calls, all of a call or none: the messages, the call's count, events.
--
-- A call is written only if it still has as many messages as were read, is not finalized and not queued, and if nobody else
-- has it locked (skip locked): so this waits for nobody. The calls are the only rows that are locked, ascending. Rows are
-- changed by the ctid under which they were locked, see `BATCH_SESSION`.
--
-- A call that somebody else changed after this statement took its snapshot and before it took the lock is locked in its new
-- version, which the update does not see. So everything follows from what was updated: such a call is not written at all.
--
--  $1       company
--  $2..$4   calls: id, number of messages read, number of messages added
--  $5..$10  messages: call, number, id, role, text, time
-- $11..$18  events: call, subject type, subject id, version, event type, actor, payload, scope keys
--
-- Returns the calls that were written.
with
held_call as materialized (
    select call.id, call.tid, wanted.added
    from (
        select *
        from unnest($2::uuid[], $3::int[], $4::int[]) as wanted (id, messages_read, added)
        order by id
    ) as wanted
    cross join lateral (
        select call.id, call.ctid as tid
        from call
        where call.company_id = $1 and call.id = wanted.id and call.messages = wanted.messages_read
            and call.finalized_at is null and call.status <> 'QUEUED'
        for no key update skip locked
    ) as call
),
counted as (
    update call
    set messages = call.messages + held_call.added
    from held_call
    where call.ctid = held_call.tid
    returning call.id
),
inserted as (
    insert into call_message (company_id, call_id, number, id, role, text, inserted_at)
    select $1, new.call_id, new.number, new.id, new.role, new.text, new.at
    from unnest($5::uuid[], $6::int[], $7::uuid[], $8::text[], $9::text[], $10::timestamptz[])
        as new (call_id, number, id, role, text, at)
    join counted on counted.id = new.call_id
),
appended as (
    insert into event (company_id, subject_type, subject_id, version, type, actor, payload, scopes)
    select $1, new.subject_type, new.subject_id, new.version, new.type, new.actor, new.payload::json,
        new.scopes::bigint[]
    from unnest($11::uuid[], $12::text[], $13::text[], $14::int[], $15::text[], $16::text[], $17::text[], $18::text[])
        as new (call_id, subject_type, subject_id, version, type, actor, payload, scopes)
    join counted on counted.id = new.call_id
)
select id from counted

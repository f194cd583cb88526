-- Clears and sets timers and appends events. The last statement of a transaction that holds the subjects' locks.
--
--  $1..$4   timers to clear: company, subject type, subject id, purpose
--  $5..$10  timers to set: company, subject type, subject id, purpose, due time, token
-- $11..$19  events: company, subject type, subject id, version, event type, actor, payload, previous, scope keys
with
-- A timer that the scheduler is just putting off may be missed; it fires later and finds nothing to do.
timer_found as materialized (
    select timer.tid
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
        as cleared (company_id, subject_type, subject_id, purpose)
    cross join lateral (
        select timer.ctid as tid
        from timer
        where timer.company_id = cleared.company_id
            and timer.subject_type = cleared.subject_type
            and timer.subject_id = cleared.subject_id
            and timer.purpose = cleared.purpose
        offset 0
    ) as timer
),
timer_cleared as (
    delete from timer using timer_found where timer.ctid = timer_found.tid
),
-- Setting a timer replaces the one of the same subject and purpose.
timer_set as (
    insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
    select company_id, subject_type, subject_id, purpose, due_at, token
    from unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::uuid[])
        as set (company_id, subject_type, subject_id, purpose, due_at, token)
    on conflict (company_id, subject_type, subject_id, purpose)
        do update set due_at = excluded.due_at, token = excluded.token, attempts = 0
)
insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
select company_id, subject_type, subject_id, version, type, actor, payload::json, previous::json, scopes::bigint[]
from unnest($11::uuid[], $12::text[], $13::text[], $14::int[], $15::text[], $16::text[], $17::text[], $18::text[],
        $19::text[])
    as appended (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)

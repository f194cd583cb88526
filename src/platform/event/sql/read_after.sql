-- Reads every event that a position does not contain, for the reader. Takes no lock.
-- One statement and no limit: the events and the transactions still in progress must come from the same snapshot.
-- Gives one row with null event columns when there is no event.
--   $1 seen     text    xid8: greatest transaction of the position
--   $2 pending  text[]  xid8: transactions below it that were in progress
with state as (
    -- What the next position is made of, and how far retention has dropped the log.
    select
        pg_current_snapshot()::text as snapshot,
        (select floor::text::bigint from event_log where only_row) as floor
)
select
    state.snapshot as "snapshot!",
    state.floor as "floor!",
    found.company_id as "company_id?",
    found.subject_type as "subject_type?",
    found.subject_id as "subject_id?",
    found.version as "version?",
    found.type as "event_type?",
    found.actor as "actor?",
    found.payload::text as "payload?",
    found.previous::text as "previous?",
    found.occurred_at as "occurred_at?",
    found.xid::text::bigint as "xid?"
from state
left join lateral (
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from event
    where event.xid > $1::text::xid8 or event.xid = any($2::text[]::xid8[])
) as found on true
order by found.company_id, found.subject_type, found.subject_id, found.version;

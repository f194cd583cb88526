-- Reads one page of the events between two positions that may concern one stream, by (subject type, subject, version).
-- Takes no lock.
--   $1  company_id         uuid
--   $2  subject_types      text[]
--   $3  subject_id         text    null: any
--   $4  since_seen         text    xid8: greatest transaction of the position before the range
--   $5  since_pending      text[]  xid8: transactions below it that were in progress
--   $6  until_seen         text    xid8: greatest transaction of the position at its end
--   $7  until_pending      text[]  xid8: transactions below it that were in progress
--   $8  last_subject_type  text    the last event of the page before; null for the first page
--   $9  last_subject_id    text
--   $10 last_version       int
--   $11 most               bigint
with missed as (
    -- Not contained in the first position. "offset 0" is a fence: without statistics the planner would prefer the
    -- primary key, which reads the whole day.
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from event
    where company_id = $1 and (xid > $4::text::xid8 or xid = any($5::text[]::xid8[]))
    offset 0
),
page as (
    -- The upper bound stands outside the fence: inside, a plan made while the day is empty would search by it.
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from missed
    where xid <= $6::text::xid8 and xid <> all($7::text[]::xid8[])
        and subject_type = any($2) and ($3::text is null or subject_id = $3)
        and ($8::text is null or (subject_type, subject_id, version) > ($8, $9, $10))
    order by subject_type, subject_id, version
    limit $11
)
select
    company_id as "company_id!",
    subject_type as "subject_type!",
    subject_id as "subject_id!",
    version as "version!",
    type as "event_type!",
    actor as "actor?",
    payload::text as "payload!",
    previous::text as "previous?",
    occurred_at as "occurred_at!",
    xid::text::bigint as "xid!"
from page
order by subject_type, subject_id, version;

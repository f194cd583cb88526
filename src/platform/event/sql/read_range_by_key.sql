-- Reads one page of a company's events between two positions, by (subject type, subject, version), in the order of the
-- primary key. Takes no lock. Reads past events outside the range: for ranges that are too large to be sorted for each
-- page.
--   $1  company_id         uuid
--   $2  subject_types      text[]
--   $3  since_seen         text    xid8: greatest transaction of the position before the range
--   $4  since_pending      text[]  xid8: transactions below it that were in progress
--   $5  until_seen         text    xid8: greatest transaction of the position at its end
--   $6  until_pending      text[]  xid8: transactions below it that were in progress
--   $7  last_subject_type  text    the last event of the page before; null for the first page
--   $8  last_subject_id    text
--   $9  last_version       int
--   $10 most               bigint  size of the page
with missed as (
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from event
    where company_id = $1
        -- Not "= any": the planner would then search by it, and sort.
        and array_position($2::text[], subject_type) is not null
        and (xid > $3::text::xid8 or xid = any($4::text[]::xid8[]))
        and xid <= $5::text::xid8 and xid <> all($6::text[]::xid8[])
        and (subject_type, subject_id, version) > (coalesce($7::text, ''), coalesce($8::text, ''), coalesce($9::int, 0))
    order by company_id, subject_type, subject_id, version
    limit $10
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
    xid::text::bigint as "xid!",
    0::bigint as "total!"
from missed
order by subject_type, subject_id, version;

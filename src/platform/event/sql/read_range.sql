-- Reads one page of a company's events between two positions, by (subject type, subject, version). Takes no lock.
-- Each page reads and sorts the whole range, which is bounded: if it holds more than $11 events, the page means nothing
-- and "total" tells.
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
--   $11 bound              bigint  most events of the range
with
-- Only event_company_xid gives the order of xid, so that is read, whenever the plan was made: the primary key would read the
-- whole day. "offset 0" is a fence: no other condition may choose the index.
of_pending as (
    select found.*
    from unnest($4::text[]::xid8[]) as pending (xid)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, event.xid
        from event
        where company_id = $1 and event.xid between pending.xid and pending.xid
        order by event.xid
        offset 0
    ) as found
    where found.subject_type = any($2)
),
missed as (
    select * from of_pending
    union all
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from event_newer($1, $3::text::xid8, $6::text[]::xid8[], $2, $11::bigint + 1)
),
bounded as (
    -- If some of the newer ones are beyond the second position, none before it was left out.
    select *
    from missed
    where xid <= $5::text::xid8 and xid <> all($6::text[]::xid8[])
    limit $11::bigint + 1
),
page as (
    select *, (select count(*) from bounded) as total
    from bounded
    where $7::text is null or (subject_type, subject_id, version) > ($7, $8, $9)
    order by subject_type, subject_id, version
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
    total as "total!"
from page
order by subject_type, subject_id, version;

-- Reads one page of the events between two positions that concern some subjects or scope keys, by (subject type, subject,
-- version). Takes no lock.
-- Where the company has few events since the first position, these are read and narrowed. Otherwise the events of the
-- subjects and of the keys are looked up, however old, and those of the range are kept: a scope has few.
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
--   $11 bound              bigint  most events of the range; beyond it the page means nothing and "total" tells
--   $12 in_types           text[]  subjects: their types
--   $13 in_ids             text[]  subjects: their ids
--   $14 keys               bigint[]
--   $15 near               bigint  how many of the company's events are few; 0 if it is known that they are not
with
newer as (
    -- Not ordered: the planner could sort all of them for that.
    select event.xid
    from event
    where company_id = $1 and xid > $3::text::xid8
    limit $15
),
distance as materialized (
    select count(*) < $15 as is_near from newer
),
near as (
    -- By event_company_xid. "offset 0" is a fence, as below: whatever the statistics, each branch is read by the index that
    -- it names.
    select event.*
    from (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
        from event
        where company_id = $1 and (xid > $3::text::xid8 or xid = any($4::text[]::xid8[]))
            and (select is_near from distance)
        offset 0
    ) as event
    where event.scopes is null or event.scopes && $14::bigint[]
        or exists (
            select 1
            from unnest($12::text[], $13::text[]) as wanted (subject_type, subject_id)
            where wanted.subject_type = event.subject_type and wanted.subject_id = event.subject_id
        )
),
of_subjects as (
    -- By the primary key.
    select found.*
    from unnest($12::text[], $13::text[]) as wanted (subject_type, subject_id)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
        from event
        where event.company_id = $1
            and event.subject_type = wanted.subject_type
            and event.subject_id = wanted.subject_id
            and not (select is_near from distance)
        offset 0
    ) as found
),
of_keys as (
    -- By event_scopes.
    select found.*
    from unnest($14::bigint[]) as wanted (key)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
        from event
        where event.scopes @> array[wanted.key] and event.scopes <> '{}'
            and not (select is_near from distance)
        offset 0
    ) as found
    where found.company_id = $1
),
of_no_keys as (
    -- By event_unscoped: written without keys, so that every stream of the company considers them.
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
    from event
    where company_id = $1 and scopes is null
        and (xid > $3::text::xid8 or xid = any($4::text[]::xid8[]))
        and not (select is_near from distance)
    offset 0
),
found as (
    select * from near
    union all
    select * from of_subjects
    union all
    select * from of_keys
    union all
    select * from of_no_keys
),
bounded as (
    -- One event may be found by its subject and by several keys.
    select distinct on (subject_type, subject_id, version) found.*
    from found
    where (xid > $3::text::xid8 or xid = any($4::text[]::xid8[]))
        and xid <= $5::text::xid8 and xid <> all($6::text[]::xid8[]) and subject_type = any($2)
    order by subject_type, subject_id, version
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

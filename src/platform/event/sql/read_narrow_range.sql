-- Reads one page of the events between two positions that concern some subjects or scope keys, by (subject type, subject,
-- version). Takes no lock.
-- Where the company has fewer than 1,000 events since the first position, these are read and narrowed. Otherwise the events
-- of the subjects and of the keys are looked up, however old, and those of the range are kept: a scope has few.
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
--   $15 is_far             bool    it is known that the company may have many events since the first position
with
distance as materialized (
    select case when $15 then false else event_is_near($1, $3::text::xid8) end as is_near
),
near_newer as (
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
    from event_newer($1, $3::text::xid8, $6::text[]::xid8[], $2, 1000)
    where (select is_near from distance)
),
-- Only event_company_xid gives the order of xid, so that is read, whenever the plan was made: the primary key would read the
-- whole day. "offset 0" is a fence, here and below: no other condition may choose the index.
near_pending as (
    select found.*
    from unnest($4::text[]::xid8[]) as pending (xid)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, event.xid, scopes
        from event
        where company_id = $1 and event.xid between pending.xid and pending.xid and (select is_near from distance)
        order by event.xid
        offset 0
    ) as found
),
near as (
    select event.*
    from (select * from near_newer union all select * from near_pending) as event
    where event.scopes is null or event.scopes && $14::bigint[]
        or exists (
            select 1
            from unnest($12::text[], $13::text[]) as wanted (subject_type, subject_id)
            where wanted.subject_type = event.subject_type and wanted.subject_id = event.subject_id
        )
),
-- Only the primary key gives the order of versions.
of_subjects as (
    select found.*
    from unnest($12::text[], $13::text[]) as wanted (subject_type, subject_id)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
        from event
        where event.company_id = $1
            and event.subject_type = wanted.subject_type
            and event.subject_id = wanted.subject_id
            and not (select is_near from distance)
        order by version
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
-- By event_unscoped: written without keys, so that every stream of the company considers them; normally none.
of_no_keys as (
    select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid, scopes
    from event
    where company_id = $1 and scopes is null and xid > $3::text::xid8 and not (select is_near from distance)
    order by xid
    offset 0
),
of_no_keys_pending as (
    select found.*
    from unnest($4::text[]::xid8[]) as pending (xid)
    cross join lateral (
        select company_id, subject_type, subject_id, version, type, actor, payload, previous, occurred_at, event.xid, scopes
        from event
        where company_id = $1 and scopes is null and event.xid between pending.xid and pending.xid
            and not (select is_near from distance)
        order by event.xid
        offset 0
    ) as found
),
found as (
    select * from near
    union all
    select * from of_subjects
    union all
    select * from of_keys
    union all
    select * from of_no_keys
    union all
    select * from of_no_keys_pending
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

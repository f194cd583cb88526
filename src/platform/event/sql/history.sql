-- Reads one page of the events about an id, under any of the given subject types, oldest first. Takes no lock.
--   $1 company_id          uuid
--   $2 subject_types       text[]
--   $3 subject_id          text
--   $4 after_time          timestamptz  the last event of the page before; null for the first page
--   $5 after_subject_type  text
--   $6 after_version       int
--   $7 most                bigint
select
    company_id as "company_id!",
    event.subject_type as "subject_type!",
    subject_id as "subject_id!",
    version as "version!",
    type as "event_type!",
    actor as "actor?",
    payload::text as "payload!",
    previous::text as "previous?",
    occurred_at as "occurred_at!",
    xid::text::bigint as "xid!"
from unnest($2::text[]) as wanted (subject_type)
cross join lateral (
    select company_id, event.subject_type, subject_id, version, type, actor, payload, previous, occurred_at, xid
    from event
    where company_id = $1 and event.subject_type = wanted.subject_type and subject_id = $3
    -- Only the primary key gives this order, so that is read, whenever the plan was made.
    order by version
    offset 0
) as event
where $4::timestamptz is null or (occurred_at, event.subject_type, version) > ($4, $5, $6)
order by occurred_at, event.subject_type, version
limit $7;

-- Reads the events of one subject after a version, oldest first. Takes no lock.
--   $1 company_id    uuid
--   $2 subject_type  text
--   $3 subject_id    text
--   $4 version       int
--   $5 most          bigint
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
from event
where company_id = $1 and subject_type = $2 and subject_id = $3 and version > $4
order by version
limit $5;

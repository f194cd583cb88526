-- Appends events to the log. The last statement of its transaction, so that the locks on the subjects are held no
-- longer than needed after the events have their time. Takes no lock but those of an insert.
--   $1 company_ids    uuid[]
--   $2 subject_types  text[]
--   $3 subject_ids    text[]
--   $4 versions       int[]   raised under the subjects' locks
--   $5 event_types    text[]
--   $6 actors         text[]  null for a timer
--   $7 payloads       text[]  the record as JSON
--   $8 previous       text[]  earlier values as JSON; null for a new subject
--   $9 scopes         text[]  each an array of scope keys as text; null if they are not known
with new as (
    select *
    from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[])
        as new (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
)
insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous, scopes)
select company_id, subject_type, subject_id, version, type, actor, payload::json, previous::json, scopes::bigint[]
from new;

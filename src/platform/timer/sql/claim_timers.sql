-- Claims timers for this transaction, so that several servers fire different ones. Never waits.
--
-- A claim is an advisory lock on the timer's key and no row lock: whoever holds the subject's lock may change or delete
-- the timer meanwhile, and must not wait for a scheduler.
--
-- Servers list the same timers and so try the same groups of them. Whoever has claimed the first of a group fires the
-- whole group: two servers with half a group each would do the work of a transaction twice.
--
-- $1      company
-- $2      subject type
-- $3      purpose
-- $4, $5  subject ids, tokens
-- Returns the places of those that are claimed now.
with
-- Timers that are as they were listed. Another server may have fired the others since, and their subjects need no lock.
still_set as materialized (
    select
        wanted.place,
        hashtextextended(concat_ws(' ', $1::uuid::text, $2::text, $3::text, wanted.subject_id), 0) as key
    from unnest($4::text[], $5::uuid[]) with ordinality as wanted (subject_id, token, place)
    cross join lateral (
        select 1
        from timer
        where timer.company_id = $1 and timer.subject_type = $2 and timer.subject_id = wanted.subject_id
            and timer.purpose = $3 and timer.token = wanted.token
        offset 0
    ) as timer
),
first as materialized (
    select pg_try_advisory_xact_lock(still_set.key) as is_claimed
    from (select key from still_set order by place limit 1) as still_set
)
select still_set.place as "place!"
from still_set
where (select is_claimed from first) and pg_try_advisory_xact_lock(still_set.key)

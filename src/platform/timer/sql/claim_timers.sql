-- Claims timers for this transaction, so that several servers fire different ones. Never waits.
--
-- A claim is an advisory lock on the timer's key and no row lock: whoever holds the subject's lock may change or delete
-- the timer meanwhile, and must not wait for a scheduler.
--
-- $1  company
-- $2  subject type
-- $3  purpose
-- $4  subject ids
-- Returns the places of those that nobody else has claimed.
select wanted.place as "place!"
from unnest($4::text[]) with ordinality as wanted (subject_id, place)
where pg_try_advisory_xact_lock(
    hashtextextended(concat_ws(' ', $1::uuid::text, $2::text, $3::text, wanted.subject_id), 0)
)

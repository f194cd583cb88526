-- The database's time, and when the next timer after a moment is due, of the purposes that this build handles. Takes no
-- lock.
--
-- $1, $2  subject types and purposes
-- $3      the moment up to which timers were looked for
with
moment as materialized (
    select switchboard.now() as now
)
select
    moment.now as "now!",
    (
        select min(next.due_at)
        from unnest($1::text[], $2::text[]) as handled (subject_type, purpose)
        cross join lateral (
            select timer.due_at
            from timer
            where timer.subject_type = handled.subject_type and timer.purpose = handled.purpose
                and timer.due_at > $3::timestamptz
                -- Always true: the condition of the index, which no lookup of a timer may read.
                and timer.due_at < 'infinity'
            order by timer.due_at
            limit 1
        ) as next
    ) as "next?"
from moment

-- Deletes those timers that are still as they were seen and are due. Their subjects are locked and the timers claimed, so
-- nobody but a setter without the subject's lock can be in the way; its timers are left for the next look (skip locked).
--
-- $1      company
-- $2      subject type
-- $3      purpose
-- $4, $5  subject ids, tokens
-- Returns the places of those that were deleted. The time is read after the subjects' locks.
with
moment as materialized (
    select switchboard.now() as now
),
due as materialized (
    select wanted.place, timer.tid
    from unnest($4::text[], $5::uuid[]) with ordinality as wanted (subject_id, token, place)
    cross join lateral (
        select timer.ctid as tid
        from timer
        where timer.company_id = $1 and timer.subject_type = $2 and timer.subject_id = wanted.subject_id
            and timer.purpose = $3 and timer.token = wanted.token and timer.due_at <= (select now from moment)
        for update skip locked
    ) as timer
),
taken as (
    delete from timer using due where timer.ctid = due.tid
)
select place as "place!" from due

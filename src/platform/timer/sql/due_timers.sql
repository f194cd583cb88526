-- One page of the due timers of each purpose, the longest due first, with the database's time. Takes no lock.
--
-- Only of the purposes that this build handles: those of a newer build are left to its servers. The pages of one look
-- follow each other, so that timers which nobody can fire just now hide none behind them.
--
-- $1, $2      subject types and purposes
-- $3, $4, $5  the last timer of each one's page before: due time, company, subject id
-- $6          most timers of each
-- One row of nulls, but for the time, where nothing is due.
with
moment as materialized (
    select switchboard.now() as now
),
handled as (
    select *
    from unnest($1::text[], $2::text[], $3::timestamptz[], $4::uuid[], $5::text[])
        as handled (subject_type, purpose, after_due_at, after_company_id, after_subject_id)
)
select
    moment.now as "now!",
    due.company_id as "company_id?",
    due.subject_type as "subject_type?",
    due.subject_id as "subject_id?",
    due.purpose as "purpose?",
    due.due_at as "due_at?",
    due.token as "token?",
    due.attempts as "attempts?"
from moment
left join (
    handled
    cross join lateral (
        select
            timer.company_id,
            timer.subject_type,
            timer.subject_id,
            timer.purpose,
            timer.due_at,
            timer.token,
            timer.attempts
        from timer
        where timer.subject_type = handled.subject_type and timer.purpose = handled.purpose
            and timer.due_at <= (select now from moment)
            -- Always true: the condition of the index, which no lookup of a timer may read.
            and timer.due_at < 'infinity'
            and (timer.due_at, timer.company_id, timer.subject_id collate "C")
                > (handled.after_due_at, handled.after_company_id, handled.after_subject_id collate "C")
        order by timer.due_at, timer.company_id, timer.subject_id collate "C"
        limit $6
    ) as due
) on true

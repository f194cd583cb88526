-- Deletes some free lines that nobody has used for a day, with their remembered requests; never before their events,
-- because a new line counts its versions from 1. Lines that somebody has locked are skipped. "used_at" is up to an hour
-- older than the last use.
--
-- $1 at most so many
with
moment as materialized (
    select switchboard.now() as now
)
delete from operation_line
where ctid = any (array(
    select line.ctid
    from operation_line as line
    left join lateral (
        select true as is_there
        from event
        where event.company_id = line.company_id and event.subject_type = 'operation' and event.subject_id = line.chat_id
        -- Only the primary key gives this order, so that is read, whenever the plan was made.
        order by event.version
        limit 1
    ) as event on true
    where line.used_at <= (select moment.now - interval '25 hours' from moment)
        and line.call_type is null
        and event.is_there is null
    order by line.used_at
    limit $1
    for update of line skip locked
))

-- Stamps the row of a server that lives. If no server has lived before, service resumes now: timers that wait for people
-- and came due before are put off, in this statement, so that no server sees the one without the other.
--
-- Locks: the server's row; where service resumes, the one row of "service" and the timers. No server is about to fire
-- these: each does so only after a fresh stamp of its own. A timer that somebody has locked is being set or cleared.
--
--   $1 server_id      uuid
--   $2 lived          bool    this server has stamped within $3 by its own clock: then there was no outage
--   $3 dead_after     float8  seconds
--   $4 grace          float8  seconds
--   $5 subject_types  text[]  timers that wait for people: subject type and purpose
--   $6 purposes       text[]
with
moment as materialized (
    select
        switchboard.now() as now,
        switchboard.now() - make_interval(secs => $3) as dead,
        switchboard.now() + make_interval(secs => $4) as due_at
),
resumed as materialized (
    select moment.now, moment.due_at
    from moment
    where not $2 and not exists (select 1 from service_alive where stamped_at > moment.dead)
),
stamped as (
    insert into service_alive (server_id, started_at, stamped_at)
    select $1, moment.now, moment.now from moment
    on conflict (server_id) do update set stamped_at = excluded.stamped_at
),
forgotten as (
    delete from service_alive
    using resumed
    where service_alive.server_id <> $1 and service_alive.stamped_at < resumed.now - interval '1 day'
),
noted as (
    update service
    set resumed_at = resumed.now, grace_until = resumed.due_at
    from resumed
    where service.only_row
),
found_timer as materialized (
    select timer.tid, resumed.due_at
    from resumed
    cross join unnest($5::text[], $6::text[]) as people (subject_type, purpose)
    cross join lateral (
        select timer.ctid as tid
        from timer
        -- The last condition is that of the index.
        where timer.due_at <= resumed.now and timer.due_at < 'infinity' and timer.subject_type = people.subject_type
            and timer.purpose = people.purpose
        for update skip locked
    ) as timer
),
put_off as (
    update timer set due_at = found_timer.due_at from found_timer where timer.ctid = found_timer.tid
)
select exists (select 1 from resumed) as "resumed!";

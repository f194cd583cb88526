-- Finds the daily partitions whose last possible event is older than the retention, oldest first. Takes no lock.
-- Looks at table names and not at attached partitions only: after a crash, a day may be detached and not yet dropped.
--   $1 retention  float8  in seconds
select
    day.relname::text as "name!",
    link.inhrelid is not null as "attached!",
    coalesce(link.inhdetachpending, false) as "detaching!"
from pg_class as day
left join pg_inherits as link on link.inhrelid = day.oid
where day.relnamespace = 'switchboard'::regnamespace and day.relkind = 'r'
    and day.relname ~ '^event_[0-9]{8}$'
    and to_date(right(day.relname, 8), 'YYYYMMDD') + 1
        <= ((switchboard.now() - make_interval(secs => $1)) at time zone 'UTC')::date
order by day.relname;

-- The end of the log as this connection's snapshot sees it, how far retention has dropped the log, which log in which
-- history of which cluster this is, and the key of its cursors. Takes no lock.
with newest as (
    -- By the index, also where the planner has no statistics.
    select xid, occurred_at from event order by xid desc, occurred_at desc limit 1
)
select
    (select xid::text::bigint from newest) as "seen?",
    (select occurred_at from newest) as "seen_at?",
    floor::text::bigint as "floor!",
    floor_at as "floor_at?",
    id as "id!",
    cursor_key as "cursor_key!",
    pg_current_snapshot()::text as "snapshot!",
    (select system_identifier from pg_control_system()) as "system!",
    -- The timeline is the first eight hexadecimal digits of the name of the current WAL file.
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as "timeline!",
    (select oid::bigint from pg_database where datname = current_database()) as "database!"
from event_log
where only_row;

-- The end of the log as this connection's snapshot sees it, how far retention has dropped the log, and which history of
-- which cluster this is. Takes no lock.
with newest as (
    -- By the index, also where the planner has no statistics.
    select xid from event order by xid desc limit 1
)
select
    (select xid::text::bigint from newest) as "seen?",
    (select xid::text::bigint from event_floor where only_row) as "floor!",
    pg_current_snapshot()::text as "snapshot!",
    (select system_identifier from pg_control_system()) as "system!",
    -- The timeline is the first eight hexadecimal digits of the name of the current WAL file.
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as "timeline!";

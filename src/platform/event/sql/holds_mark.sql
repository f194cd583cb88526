-- True if the log holds an event of this transaction and time, or was dropped exactly up to it. Takes no lock.
--   $1 xid  text         xid8
--   $2 at   timestamptz  null where the log had never held an event
select exists (
    select 1 from event where xid = $1::text::xid8 and occurred_at = $2
) or exists (
    select 1 from event_log where only_row and floor = $1::text::xid8 and floor_at is not distinct from $2
) as "holds!";

-- True if the log holds, or has dropped, transactions that this cluster has not begun yet. Takes no lock.
with newest as (
    -- By the index, also where the planner has no statistics.
    select xid from event order by xid desc, occurred_at desc limit 1
)
select greatest((select xid from newest), floor) >= pg_snapshot_xmax(pg_current_snapshot()) as "foreign!"
from event_log
where only_row;

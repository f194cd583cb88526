-- Writes the versions of calls' operations. The calls are locked.
--
-- $1 company
-- $2 calls
-- $3 versions
with
-- By its key, whatever the statistics, see BATCH_SESSION.
found as materialized (
    select call.tid, new.version
    from unnest($2::uuid[], $3::int[]) as new (id, version)
    cross join lateral (
        select call.ctid as tid
        from call
        where call.company_id = $1 and call.id = new.id and call.operations <> new.version
        offset 0
    ) as call
)
update call
set operations = found.version
from found
where call.ctid = found.tid

-- Deletes the oldest idempotency keys, at most so many. Waits for nobody.
--
-- $1  retention in seconds
-- $2  most keys
with
moment as materialized (
    select switchboard.now() as now
),
old as materialized (
    select key.ctid as tid
    from idempotency_key as key
    where key.inserted_at < (select moment.now - make_interval(secs => $1) from moment)
    order by key.inserted_at
    limit $2
    for update skip locked
)
delete from idempotency_key using old where idempotency_key.ctid = old.tid

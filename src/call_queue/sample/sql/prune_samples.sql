-- Deletes the oldest samples that are older than a day, at most so many. Waits for nobody.
--
-- $1 most samples
with
moment as materialized (
    select switchboard.now() as now
),
old as materialized (
    select sample.ctid as tid
    from call_queue_sample as sample
    where sample.at <= (select moment.now - interval '1 day' from moment)
    order by sample.at
    limit $1
    for update skip locked
)
delete from call_queue_sample using old
where call_queue_sample.ctid = old.tid

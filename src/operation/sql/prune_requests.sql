-- Deletes some finished requests that need not be remembered any more, skipping those that somebody has locked.
--
-- $1 at most so many
with
moment as materialized (
    select switchboard.now() as now
)
delete from operation_request
where ctid = any (array(
    select request.ctid
    from operation_request as request
    where request.forget_at <= (select moment.now from moment)
    order by request.forget_at
    limit $1
    for update skip locked
))

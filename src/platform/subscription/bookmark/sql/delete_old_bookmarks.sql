-- Deletes the rows of all companies that mean nothing any more: cut long ago, or of a server that died long ago.
--
-- $1 how long a row is kept
with
moment as materialized (
    select switchboard.now() as now
)
delete from stream_bookmark as bookmark
using moment
where (bookmark.server_id is null and bookmark.seen_at <= moment.now - $1::interval)
    or (
        bookmark.server_id is not null
        and not exists (
            select 1
            from service_alive as alive
            where alive.server_id = bookmark.server_id and alive.stamped_at > moment.now - $1::interval
        )
    )

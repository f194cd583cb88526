-- Takes over the row of a stream for the server that sends it from now on, if the row still means something: it was cut
-- within the time, or the server that sent it lives or has died within the time. Locks the row.
--
-- $1 company
-- $2 id
-- $3 server
-- $4 how long a row is kept
with
moment as materialized (
    select switchboard.now() as now
)
update stream_bookmark as bookmark
set server_id = $3, seen_at = moment.now
from moment
where bookmark.company_id = $1 and bookmark.id = $2
    and case
        when bookmark.server_id is null then bookmark.seen_at > moment.now - $4::interval
        else exists (
            select 1
            from service_alive as alive
            where alive.server_id = bookmark.server_id and alive.stamped_at > moment.now - $4::interval
        )
    end
returning bookmark.cursor, bookmark.pin

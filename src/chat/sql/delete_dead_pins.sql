-- Deletes the pins to the open races of a remote address and contract whose streams will not come back, and the row of the
-- stream that begins now, if it means nothing any more. Locks the rows; a row that is taken over meanwhile has moved, and
-- stays.
--
-- $1 company
-- $2 address
-- $3 contract
-- $4 id of the stream's row
-- $5 how long the row of a stream is kept that was cut
with
moment as materialized (
    select switchboard.now() as now
),
open_chat as materialized (
    select chat.key
    from chat
    where chat.company_id = $1 and chat.created_from = $2 and chat.contract_id = $3
        and chat.status in ('ACTIVE', 'STARTED')
),
place as materialized (
    select pinned.ctid, pinned.server_id, pinned.seen_at
    from open_chat
    cross join lateral (
        select bookmark.ctid, bookmark.server_id, bookmark.seen_at
        from stream_bookmark as bookmark
        where bookmark.company_id = $1 and bookmark.pin = open_chat.key
        offset 0
    ) as pinned
    union
    select bookmark.ctid, bookmark.server_id, bookmark.seen_at
    from stream_bookmark as bookmark
    where bookmark.company_id = $1 and bookmark.id = $4
),
dead as materialized (
    select place.ctid
    from place
    cross join moment
    left join lateral (
        select alive.stamped_at
        from service_alive as alive
        where alive.server_id = place.server_id
        offset 0
    ) as server on true
    where coalesce(server.stamped_at, case when place.server_id is null then place.seen_at end, '-infinity')
        <= moment.now - $5::interval
)
delete from stream_bookmark as bookmark
where bookmark.ctid = any (array(select dead.ctid from dead))

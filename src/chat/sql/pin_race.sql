-- Pins a stream to the only open race that was asked for from a remote address for a contract and that no stream is pinned
-- to. Nothing, if there are several, or if another stream is pinned to it at this moment: the unique index decides.
--
-- $1 company
-- $2 address
-- $3 contract
-- $4 id of the stream's row
-- $5 server
-- $6 cursor of a stream that has not begun to send
with
open_chat as materialized (
    select chat.key
    from chat
    where chat.company_id = $1 and chat.created_from = $2 and chat.contract_id = $3
        and chat.status in ('ACTIVE', 'STARTED')
),
unpinned as materialized (
    select open_chat.key
    from open_chat
    left join lateral (
        select bookmark.pin
        from stream_bookmark as bookmark
        where bookmark.company_id = $1 and bookmark.pin = open_chat.key
        offset 0
    ) as pinned on true
    where pinned.pin is null
),
only_one as (
    select (array_agg(unpinned.key))[1] as key
    from unpinned
    having count(*) = 1
)
insert into stream_bookmark (company_id, id, server_id, pin, cursor)
select $1, $4, $5, only_one.key, $6
from only_one
on conflict do nothing
returning pin as "pin!"

-- Writes how far streams have got. A row that another server has taken over stays as it is. Locks the rows in the order of
-- their keys.
--
-- $1 server
-- $2 companies, $3 ids, $4 cursors, $5 true for a stream that was cut; in the order of (company, id)
with
moment as materialized (
    select switchboard.now() as now
),
place as (
    select given.company_id, given.id, given.cursor, given.is_cut
    from unnest($2::uuid[], $3::bytea[], $4::text[], $5::boolean[]) as given (company_id, id, cursor, is_cut)
)
insert into stream_bookmark as bookmark (company_id, id, server_id, cursor, seen_at)
select place.company_id, place.id, case when place.is_cut then null else $1::uuid end, place.cursor, moment.now
from place cross join moment
order by place.company_id, place.id
on conflict (company_id, id) do update
set server_id = excluded.server_id, cursor = excluded.cursor, seen_at = excluded.seen_at
where bookmark.server_id = $1

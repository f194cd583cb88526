-- Calls that messages are written into, each named by its id or by its name, with the database's time. Takes no lock.
--
-- $1     company
-- $2, $3 ids and names, of which one is null
with
moment as materialized (
    select switchboard.now() as now
)
select
    wanted.place as "place!",
    moment.now as "now!",
    call.id,
    call.status as "status: CallStatus",
    call.finalized_at,
    call.messages
from moment
cross join unnest($2::uuid[], $3::text[]) with ordinality as wanted (id, name, place)
left join lateral (
    select name.call_id
    from call_name as name
    where name.company_id = $1 and name.call_control_id = wanted.name
    offset 0
) as name on true
cross join lateral (
    select * from call where call.company_id = $1 and call.id = coalesce(wanted.id, name.call_id) offset 0
) as call

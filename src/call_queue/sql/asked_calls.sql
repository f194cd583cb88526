-- Those of some calls that dialers are asked about. Takes no lock.
--
-- $1 company
-- $2 calls
select call.id
from unnest($2::uuid[]) as asked (id)
cross join lateral (
    select call.id from call where call.company_id = $1 and call.id = asked.id and call.asked offset 0
) as call
order by call.id

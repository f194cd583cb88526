-- Companies in which somebody may be dispatched: normally none for longer than a moment.
select distinct owner.company_id
from call_queue_user as owner
where owner.may_dispatch
order by owner.company_id
limit 1000

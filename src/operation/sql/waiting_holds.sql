-- The calls that wait in a line now, in the order in which they came, as their first events were.
--
-- $1 company
-- $2 line
select
    request.request_id,
    request.call_type as "call_type: CallType",
    request.opposite as "opposite!: CallType",
    request.attempt as "attempt!",
    request.began_at as "began_at!",
    request.began_version as "began_version!"
from operation_request as request
where request.company_id = $1 and request.chat_id = $2 and request.place is not null
order by request.place

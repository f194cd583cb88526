-- Takes the parked news of a name, which is locked.
--
-- $1 company
-- $2 name
delete from call_news
where company_id = $1 and call_control_id = $2
returning id, status as "status: CallStatus", end_reason as "end_reason: EndReason", occurred_at

-- Notes that dialers are asked about a slot. The slots are locked, then the call.
--
-- $1, $2 company, call
-- $3     now
update active_calls set asked_at = $3 where company_id = $1 and call_id = $2

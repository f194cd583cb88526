-- Stores the outcome of a call. The same transaction has inserted the key.
--
-- $1..$4  company, caller, operation, key
-- $5      outcome as JSON
update idempotency_key
set outcome = $5::text::json
where company_id = $1 and caller = $2 and operation = $3 and key = $4

-- Deletes the key of a call that failed. The same transaction has inserted it.
--
-- $1..$4  company, caller, operation, key
delete from idempotency_key
where company_id = $1 and caller = $2 and operation = $3 and key = $4

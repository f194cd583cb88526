-- An idempotency key that is there. Takes no lock.
--
-- $1..$4  company, caller, operation, key
select content_hash, outcome::text
from idempotency_key
where company_id = $1 and caller = $2 and operation = $3 and key = $4

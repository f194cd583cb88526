-- Inserts an idempotency key, without its outcome. The first statement of its transaction. Waits for a transaction that is
-- inserting the same key.
--
-- $1..$5  company, caller, operation, key, hash of the content
insert into idempotency_key (company_id, caller, operation, key, content_hash)
values ($1, $2, $3, $4, $5)
on conflict (company_id, caller, operation, key) do nothing

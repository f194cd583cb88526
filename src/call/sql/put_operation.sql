-- Inserts an operation, or writes its state and its lease. The call is locked.
--
-- $1..$3  company, call, id
-- $4..$6  kind, principal, request
-- $7..$11 token, generation, state, expiry, began
insert into call_operation (company_id, call_id, id, kind, principal, request_id, token, generation, state, expires_at,
    began_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (company_id, call_id, id) do update
set state = excluded.state, expires_at = excluded.expires_at

-- Inserts operations, or writes their states and their leases, in their order. The calls are locked.
--
-- $1      company
-- $2, $3  calls, ids
-- $4..$6  kinds, principals, requests
-- $7..$11 tokens, generations, states, expiries, began
insert into call_operation (company_id, call_id, id, kind, principal, request_id, token, generation, state, expires_at,
    began_at)
select $1, call_id, id, kind, principal, request_id, token, generation, state, expires_at, began_at
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::int[], $9::text[],
        $10::timestamptz[], $11::timestamptz[])
    as put (call_id, id, kind, principal, request_id, token, generation, state, expires_at, began_at)
on conflict (company_id, call_id, id) do update
set state = excluded.state, expires_at = excluded.expires_at

-- The company and website of contracts, which may be any: a caller without a token belongs to none.
--
-- $1 ids
select contract.id, contract.company_id, contract.website_id
from unnest($1::uuid[]) as asked (id)
cross join lateral (
    select id, company_id, website_id
    from contract
    where id = asked.id
    offset 0
) as contract

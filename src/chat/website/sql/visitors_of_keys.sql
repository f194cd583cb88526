-- The visitors that browsers' keys stand for, of whatever website: a caller without a token belongs to no company. At most
-- 100 of a key. Takes no lock.
--
-- $1 hashes of the keys
select tied.hash, tied.company_id, tied.website_id, tied.visitor
from unnest($1::bytea[]) as asked (hash)
cross join lateral (
    select hash, company_id, website_id, visitor
    from visitor_key
    where hash = asked.hash
    order by company_id, website_id
    limit 100
) as tied
order by tied.company_id, tied.website_id

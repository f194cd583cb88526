-- The visitors that browsers' keys stand for on a website. Takes no lock.
--
-- $1 company, $2 website, $3 hashes of the keys
select tied.hash, tied.visitor
from unnest($3::bytea[]) as asked (hash)
cross join lateral (
    select hash, visitor
    from visitor_key
    where company_id = $1 and website_id = $2 and hash = asked.hash
    offset 0
) as tied

-- The visitors that a browser's key stands for, of whatever website: a caller without a token belongs to no company. Takes
-- no lock.
--
-- $1 hash of the key
select company_id, website_id, visitor
from visitor_key
where hash = $1
order by company_id, website_id
limit 100

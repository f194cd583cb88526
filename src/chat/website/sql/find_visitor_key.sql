-- The visitor that a browser's key stands for on a website. Takes no lock.
--
-- $1 company, $2 website, $3 hash of the key
select visitor
from visitor_key
where company_id = $1 and website_id = $2 and hash = $3

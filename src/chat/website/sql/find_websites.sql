-- Websites by id. Takes no lock.
--
-- $1 company
-- $2 ids
select company_id, id, public_key, name, logo_url, color
from website
where company_id = $1 and id = any($2)

-- One website.
--
-- $1 company
-- $2 id
select company_id, id, public_key, name, logo_url, color
from website
where company_id = $1 and id = $2

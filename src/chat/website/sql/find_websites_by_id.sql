-- Websites by their ids alone, of whatever company: a caller without a token belongs to none.
--
-- $1 ids
select company_id, id, public_key, name, logo_url, color
from website
where id = any($1)

-- Websites by the keys with which their widgets log in, of whatever company: a caller that logs in belongs to none yet.
--
-- $1 public keys
select company_id, id, public_key, name, logo_url, color
from website
where public_key = any($1)

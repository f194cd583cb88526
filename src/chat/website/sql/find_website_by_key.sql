-- The website whose widget logs in with a key, of whatever company: a caller that logs in belongs to none yet.
--
-- $1 public key
select company_id, id, public_key, name, logo_url, color
from website
where public_key = $1

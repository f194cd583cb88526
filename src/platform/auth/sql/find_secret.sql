-- What is needed to check an API key.
--
-- $1 company
-- $2 id
select secret_hash, role, revoked_at
from api_key
where company_id = $1 and id = $2

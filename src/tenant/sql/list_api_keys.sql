-- A company's API keys, oldest first; revoked ones too.
--
-- $1 company
-- $2 limit
select company_id, id, name, role, version, inserted_at, revoked_at
from api_key
where company_id = $1
order by id
limit $2

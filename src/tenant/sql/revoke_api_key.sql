-- Revokes an API key that is valid. The update locks its row.
--
-- $1 company
-- $2 id
with
moment as materialized (
    select switchboard.now() as now
)
update api_key
set revoked_at = moment.now, version = version + 1
from moment
where company_id = $1 and id = $2 and revoked_at is null
returning company_id, id, name, role, version, inserted_at, revoked_at

-- A lease, which is locked, and the database's time.
--
-- $1..$4  company, subject type, subject id, name
with
moment as materialized (
    select switchboard.now() as now
)
select moment.now as "now!", lease.owner, lease.token, lease.expires_at
from moment
cross join lease
where lease.company_id = $1 and lease.subject_type = $2 and lease.subject_id = $3 and lease.name = $4

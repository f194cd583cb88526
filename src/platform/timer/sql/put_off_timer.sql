-- Delays a timer whose effect failed, if it is still the one that was seen.
--
-- $1..$4  company, subject type, subject id, purpose
-- $5      token
-- $6      pause in seconds
with
moment as materialized (
    select switchboard.now() as now
)
update timer
set attempts = attempts + 1, due_at = moment.now + make_interval(secs => $6)
from moment
where timer.company_id = $1 and timer.subject_type = $2 and timer.subject_id = $3 and timer.purpose = $4
    and timer.token = $5

-- The alerts that hold in a company, or in one session of it. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text  null: in all sessions
select company_id, alert_id as id, session_id, type as "alert_type: AlertType", severity as "severity: AlertSeverity",
    user_ids, message, version, raised_at, cleared_at
from session_alert
where company_id = $1 and cleared_at is null and ($2::text is null or session_id = $2)
order by raised_at, alert_id;

-- One session. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
select session.company_id, session.session_id, session.active_provider, session.fallback_provider, session.epoch,
    session.room_id, session.selected_by, session.selected_at, session.recovery_from,
    session.recovery_reason, session.last_provider_change,
    (session.awaited_until is not null and session.awaited_until > moment.now) as "reconnection_in_progress!",
    session.version, session.created_at, session.ended_at
from session_coordination as session
cross join (select switchboard.now() as now) as moment
where session.company_id = $1 and session.session_id = $2;

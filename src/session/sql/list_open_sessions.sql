-- A page of a company's open sessions, newest first. Takes no lock. A statement of its own, for an index of its own:
-- sessions that have ended are never deleted, and there may be any number of them behind an open one.
--   $1 company_id        uuid
--   $2 provider          text         null: any
--   $3 before_time       timestamptz  null: from the newest on
--   $4 before_session    text
--   $5 limit             bigint
select session.company_id, session.session_id, session.active_provider, session.fallback_provider, session.epoch,
    session.room_id, session.selected_by, session.selected_at, session.recovery_from,
    session.recovery_reason, session.last_provider_change,
    (session.awaited_until is not null and session.awaited_until > moment.now) as "reconnection_in_progress!",
    session.version, session.created_at, session.ended_at
from session_coordination as session
cross join (select switchboard.now() as now) as moment
where session.company_id = $1 and session.ended_at is null
    and ($2::text is null or session.active_provider = $2)
    and (session.created_at, session.session_id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4, ''))
order by session.created_at desc, session.session_id desc
limit $5;
